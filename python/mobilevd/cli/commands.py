"""The sub-commands that make, run and measure clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..presets import PRESETS
from . import (  # noqa: F401  (registers commands)
    compress,
    evaluate,
    flavours,
    flops,
    inspect,
    models,
    pack_shards,
    reproduce,
    train,
)
from .arguments import BackendLibs, Json, picture_as_seen
from .device import device
from .main import app
from .output import progress_bar, write_json

app.add_typer(device, name="device")


@app.command(epilog="Example: mobilevd generate photo.jpg -o clip.mp4 --seed 7")
def generate(
    image: Annotated[Path, typer.Argument(help="A JPEG or PNG.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".mp4, .webm, .gif or a folder")],
    bundle: Annotated[Path | None, typer.Option(help="Default: the shipped mini.")] = None,
    seed: Annotated[int, typer.Option(help="0 to 2^64 - 1.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Default: the performance cores.")] = None,
    steps: Annotated[int | None, typer.Option(help="Default: the bundle's.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second shown and told.")] = None,
    motion_bucket: Annotated[float | None, typer.Option(help="How much motion: 0 to 255.")] = None,
    noise_aug: Annotated[float | None, typer.Option(help="Noise on the picture.")] = None,
    max_memory_mb: Annotated[int, typer.Option(help="Refuse above this; 0: no limit.")] = 0,
    contact_sheet: Annotated[Path | None, typer.Option(help="PNG of input and frames.")] = None,
    backend_lib: BackendLibs = None,
    json: Json = None,
) -> None:
    """Make a clip from a picture."""
    _at_least("--threads", threads, 1)
    _at_least("--steps", steps, 1)
    _at_least("--max-memory-mb", max_memory_mb, 0)
    if fps is not None and not fps > 0:
        raise UsageError(f"--fps must be above 0, not {fps}")
    if not 0 <= seed < 2**64:
        raise UsageError(f"--seed must be from 0 to 2^64 - 1, not {seed}")
    from ..runtime import Pipeline, capture_executorch_log
    from ..runtime.video import write_contact_sheet, write_video

    capture_executorch_log()
    _checked(output)
    if not image.is_file():
        raise UsageError(f"no picture {image}")
    pipeline = Pipeline(
        bundle or _shipped_bundle(),
        threads or 0,
        max_memory_mb=max_memory_mb,
        backend_libs=backend_lib or (),
    )
    with progress_bar("generate") as report:
        clip = pipeline.generate(
            str(image),
            seed,
            steps=steps,
            fps=fps,
            motion_bucket=motion_bucket,
            noise_aug=noise_aug,
            progress=lambda stage, done, total: report(done, total, stage),
        )
    write_video(output, clip.frames, clip.fps)
    if contact_sheet:
        write_contact_sheet(
            contact_sheet, picture_as_seen(image, *clip.frames.shape[1:3]), clip.frames
        )
    write_json(json, clip.stats)


def _checked(output: Path) -> None:
    """Says what is wrong with an output's name before the long work."""
    from ..runtime.video import check_output

    try:
        check_output(output)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _shipped_bundle() -> Path:
    from ..export.shipped import shipped_bundle

    with progress_bar("export of the shipped mini (once)") as report:
        return shipped_bundle("mini", lambda done, total, stage: report(done, total, stage))


def _at_least(flag: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{flag} must be at least {least}, not {value}")


@app.command(epilog="Example: mobilevd encode frames/ -o clip.mp4 --fps 7")
def encode(
    frames: Annotated[Path, typer.Argument(help="The runner's .y4m file or folder of PNGs.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".mp4, .webm, .gif or a folder")],
    fps: float = 7.0,
    image: Annotated[Path | None, typer.Option(help="Input picture of the sheet.")] = None,
    contact_sheet: Annotated[Path | None, typer.Option(help="PNG of input and frames.")] = None,
) -> None:
    """Turn the runner's frames into a video, and a contact sheet."""
    from ..runtime.video import read_frames, write_contact_sheet, write_video

    _checked(output)
    if not fps > 0:
        raise UsageError(f"--fps must be above 0, not {fps}")
    if not frames.exists():
        raise UsageError(f"no frames at {frames}")
    clip = read_frames(frames)
    write_video(output, clip, fps)
    if contact_sheet:
        picture = picture_as_seen(image, *clip.shape[1:3]) if image else clip[0]
        write_contact_sheet(contact_sheet, picture, clip)


@app.command(epilog="Example: mobilevd bench --kernel temporal_attention --json bench.json")
def bench(
    bundle: Annotated[Path | None, typer.Option(help="Time this bundle's stages instead.")] = None,
    kernel: Annotated[list[str] | None, typer.Option(help="Repeatable. Default: all.")] = None,
    shape: Annotated[list[str] | None, typer.Option(help="Of one kernel: 14x512x640x64.")] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option(help="torch, onnxruntime, openvino or executorch; repeatable. Default: all."),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(help="Repeatable. Default: 1 and 2; for a bundle, its own.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Calls timed, 15 at most; for a bundle, clips: 3.")
    ] = None,
    backend_lib: BackendLibs = None,
    json: Json = None,
) -> None:
    """Time the kernels against their peers, or the stages of a bundle."""
    for count in threads or ():
        _at_least("--threads", count, 1)
    _at_least("--repeats", repeats, 1)
    if bundle is None:
        if backend_lib:
            raise UsageError("--backend-lib goes with --bundle")
        from ..kernels.bench.__main__ import bench as bench_kernels

        with progress_bar("bench") as report:
            rows = bench_kernels(
                kernel or (), peers or (), threads or (), repeats or 15, shape or (), report
            )
    else:
        from .output import table
        from .stage_times import bench_bundle

        if kernel or shape or peers or len(threads or ()) > 1:
            raise UsageError(
                "with --bundle, only --threads N, --repeats, --backend-lib and --json make sense"
            )
        clips = repeats or 3
        rows = bench_bundle(bundle, threads[0] if threads else 0, clips, backend_lib or ())
        table(
            f"{bundle}, {clips} clips",
            ["stage", "calls", "median ms", "p90 ms"],
            [[r["name"], r["calls"], f"{r['median_ms']:.1f}", f"{r['p90_ms']:.1f}"] for r in rows],
        )
    write_json(json, rows)


@app.command(epilog="Example: mobilevd presets")
def presets() -> None:
    """List the presets."""
    from .output import table

    table(
        "presets",
        ["name", "frames", "size", "what"],
        [[p.name, p.unet.num_frames, f"{p.width}x{p.height}", p.summary] for p in PRESETS.values()],
    )
