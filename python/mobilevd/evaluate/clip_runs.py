"""What bundles of one model cost, and how near their clips are to those of the first.

Every picture is a process of ``mobilevd_runner`` of its own, so that its peak memory is the
bundle's; bundles take turns, so that a busy machine is busy for all of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..export.manifest import read_bundle
from ..psnr import psnr_db

Progress = Callable[[int, int, str], object]
Frames = NDArray[np.float32]

# Of each picture, the same clip so often in a process: start and loading weigh little.
REPEAT = 4


@dataclass(frozen=True)
class ClipRun:
    """``frames`` [F, H, W, 3] in [0, 1], not rounded; ``result``: the runner's JSON; ``cpu_ms``:
    the process's time on the CPU, all threads', per clip."""

    frames: Frames
    result: dict[str, Any]
    cpu_ms: float


def compare_clips(
    bundles: Mapping[str, Path],
    pictures: Sequence[Image.Image],
    threads: int | None = None,
    progress: Progress = lambda done, total, what: None,
    repeat: int = REPEAT,
    backend_libs: Sequence[Path] = (),
) -> list[dict[str, Any]]:
    """A row per bundle, by the names given; a clip of every picture by each.

    ``file_mb`` of the whole folder and ``stage_file_mb`` of programs and weights (10^6 bytes),
    ``file_share`` of the first bundle's; medians of
    ``clip_ms`` and ``stage_ms`` (a clip's, loading left out), ``load_ms``, ``unet_ms`` (one
    evaluation), ``peak_rss_mb`` (2^20 bytes) and ``cpu_ms``, which is what a busy machine leaves as
    it is; ``time_share`` and ``cpu_share`` of the first bundle's; median and worst picture's
    ``psnr_db`` and ``ssim`` against the first bundle's frames.

    Each picture's clip is made ``repeat`` times in a process; if more than once, with all stages
    loaded at a time. ``cpu_ms`` is the process's, with its checks, loads and packing.
    RuntimeError with the runner's own line if one fails.
    """
    runs: dict[str, list[ClipRun]] = {name: [] for name in bundles}
    for i, picture in enumerate(pictures):
        order = list(bundles)
        turn = i % len(order)
        for name in order[turn:] + order[:turn]:
            done = sum(map(len, runs.values()))
            progress(done, len(order) * len(pictures), f"{name}: clip {i + 1}")
            run = run_clip(bundles[name], picture, i, threads, repeat, backend_libs)
            runs[name].append(run)
    first = next(iter(bundles))
    rows = [_row(name, bundles[name], runs[name], runs[first]) for name in bundles]
    for row in rows:
        row["file_share"] = row["file_mb"] / rows[0]["file_mb"]
        row["time_share"] = row["clip_ms"] / rows[0]["clip_ms"]
        row["cpu_share"] = row["cpu_ms"] / rows[0]["cpu_ms"]
    return rows


def run_clip(
    bundle: Path,
    picture: Image.Image,
    seed: int = 0,
    threads: int | None = None,
    repeat: int = REPEAT,
    backend_libs: Sequence[Path] = (),
) -> ClipRun:
    """A picture's clip by ``mobilevd_runner``, ``repeat`` times."""
    from ..runtime.runner import run_runner

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        picture.save(folder / "picture.png")
        flags = ["--image", folder / "picture.png", "--output", folder / "clip.y4m"]
        flags += ["--seed", seed, "--repeat", repeat, "--float-frames", folder / "frames.npy"]
        flags += ["--threads", threads] if threads else []
        flags += [word for library in backend_libs for word in ("--backend-lib", library)]
        done = run_runner(bundle, flags, str(bundle), _environment(bundle))
        cpu_ms = 1e3 * done.cpu_s / repeat
        return ClipRun(np.load(folder / "frames.npy"), done.json, cpu_ms)


def _environment(bundle: Path) -> dict[str, str]:
    """QNN's libraries are found by the environment."""
    if read_bundle(bundle)["backend"] != "qnn":
        return dict(os.environ)
    from ..export.qnn_sdk import find_sdk

    return find_sdk().environment(os.environ)


def ssim(a: Frames, b: Frames) -> float:
    """Mean structural similarity of the frames, by scikit-image with its defaults."""
    from skimage.metrics import structural_similarity

    return float(
        np.mean(
            [
                structural_similarity(x, y, channel_axis=-1, data_range=1.0)
                for x, y in zip(a, b, strict=True)
            ]
        )
    )


def _row(
    name: str, bundle: Path, runs: Sequence[ClipRun], wanted: Sequence[ClipRun]
) -> dict[str, Any]:
    manifest = read_bundle(bundle)
    files = manifest["files"]
    sizes = {
        stage: sum(files[file]["bytes"] for file in (entry["program"], *entry["weights"])) / 1e6
        for stage, entry in manifest["stages"].items()
    }
    pairs = [(a.frames, b.frames) for a, b in zip(runs, wanted, strict=True)]
    psnrs = [float(psnr_db(torch.from_numpy(a), torch.from_numpy(b))) for a, b in pairs]
    ssims = [ssim(a, b) for a, b in pairs]

    def median(value: Callable[[dict[str, Any]], float]) -> float:
        return float(np.median([value(run.result) for run in runs]))

    def stage_ms(result: dict[str, Any], stage: str) -> float:
        found = result["stages"][stage]
        return found["median_ms"] * found["calls"] / result["repeat"]

    return {
        "name": name,
        "clips": len(runs),
        "threads": runs[0].result["threads"],
        "repeat": runs[0].result["repeat"],
        "file_mb": sum(file.stat().st_size for file in bundle.iterdir()) / 1e6,
        "stage_file_mb": sizes,
        "clip_ms": median(lambda r: sum(stage_ms(r, stage) for stage in sizes)),
        "cpu_ms": float(np.median([run.cpu_ms for run in runs])),
        "load_ms": median(lambda r: r["load_ms"]),
        "unet_ms": median(lambda r: r["stages"]["unet"]["median_ms"]),
        "stage_ms": {stage: median(partial(stage_ms, stage=stage)) for stage in sizes},
        "peak_rss_mb": median(lambda r: r["peak_rss_mb"]),
        "psnr_db": float(np.median(psnrs)),
        "psnr_db_worst": min(psnrs),
        "ssim": float(np.median(ssims)),
        "ssim_worst": min(ssims),
    }
