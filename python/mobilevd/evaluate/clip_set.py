"""Sets of clips, of a model or real, kept as what the distances need of them: not as pixels.

A set grows batch by batch in a folder; run again, it goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..psnr import psnr_db
from ..training.clip_noise import ClipNoise
from ..training.data import ClipData, ClipSource, MovingDigits, Size
from ..whole_files import whole_file, write_text
from .clip_batches import COMMON_SIZE, Sampler, as_video, reduced
from .motion import STATISTICS, motion_statistics
from .real_clips import clips_by_number

Progress = Callable[[int, int, str], object]
SHOWN = 8  # clips whose small frames are kept, for a sheet


class Extractor(Protocol):
    """Clips [B, F, 3, H, W] in [-1, 1] -> features [B, D]; ``digest`` names its weights.

    ``key`` is the distance's name in the figures, ``frames`` the only number it takes (None: any),
    ``real_sets`` how many times as many real clips as made ones there should be.
    """

    key: str
    name: str
    digest: str
    real_sets: int

    @property
    def frames(self) -> int | None: ...

    def __call__(self, clips: torch.Tensor) -> np.ndarray: ...


@dataclass(frozen=True)
class ClipSet:
    """``features`` [N, D], ``motion`` [N, statistics], ``first_frame_psnr_db`` [N];
    ``shown`` uint8 [at most SHOWN, F, 64, 64, 3] and ``pictures`` [.., 64, 64, 3]: the first ones.
    """

    features: np.ndarray
    motion: np.ndarray
    first_frame_psnr_db: np.ndarray
    shown: np.ndarray
    pictures: np.ndarray

    def __len__(self) -> int:
        return len(self.features)


def _measured(
    clips: torch.Tensor, first: torch.Tensor, indices: Sequence[int], extract: Extractor
) -> ClipSet:
    clips = as_video(clips)
    small, picture = reduced(clips), reduced(as_video(first))
    keep = sum(i < SHOWN for i in indices)
    return ClipSet(
        features=extract(clips),
        motion=motion_statistics(small, picture),
        first_frame_psnr_db=psnr_db(small[:, 0], picture, 2.0, (1, 2, 3)).numpy(),
        shown=_pixels(small[:keep]),
        pictures=_pixels(picture[:keep]),
    )


def _pixels(images: torch.Tensor) -> np.ndarray:
    return ((images + 1) * 127.5).round().byte().movedim(-3, -1).numpy()


def generated_set(
    sampler: Sampler,
    extract: Extractor,
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    source: ClipSource | None = None,
    motion_bucket: float | None = None,
    batch_size: int = 8,
    progress: Progress = lambda done, total, what: None,
) -> ClipSet:
    """``count`` clips of a model; clip i starts from the first frame of real clip i of stream
    ``seed``, with its fps and, unless all have ``motion_bucket``, its motion bucket, drawn at the
    preset's own size.

    ``source`` defaults to the moving digits of the "test" split.
    """
    preset = sampler.model.preset
    frames = preset.unet.num_frames
    data = clips_by_number(source or MovingDigits("test"), frames, preset.size, seed)

    def make(indices: Sequence[int]) -> ClipSet:
        batch = data.batch(indices)
        if motion_bucket is not None:
            batch.motion_bucket = torch.full_like(batch.motion_bucket, motion_bucket)
        clips = sampler.clips(batch, ClipNoise(seed, indices, device=sampler.device))
        return _measured(clips, batch.first, indices, extract)

    about = {"model": sampler.digest, **_about(data, seed, extract)}
    if motion_bucket is not None:
        about["motion_bucket"] = motion_bucket
    return _grown(folder, about, count, batch_size, make, progress, f"clips of {preset.name}")


def real_set(
    extract: Extractor,
    folder: Path,
    count: int,
    *,
    seed: int,
    frames: int = 14,
    size: Size = COMMON_SIZE,
    source: ClipSource | None = None,
    batch_size: int = 64,
    progress: Progress = lambda done, total, what: None,
) -> ClipSet:
    """``count`` real clips of stream ``seed``, by the same measures."""
    data = clips_by_number(source or MovingDigits("test"), frames, size, seed)

    def make(indices: Sequence[int]) -> ClipSet:
        batch = data.batch(indices)
        assert batch.clips is not None
        return _measured(batch.clips, batch.first, indices, extract)

    about = {"model": "real clips", **_about(data, seed, extract)}
    return _grown(folder, about, count, batch_size, make, progress, "real clips")


def _about(data: ClipData, seed: int, extract: Extractor) -> dict[str, object]:
    """What a set depends on; of the data, a clip's pixels stand for files and code it is from."""
    batch = data.batch([0])
    clip = batch.clips
    assert clip is not None
    return {
        "features": extract.digest,
        "statistics": list(STATISTICS),
        "seed": seed,
        "fps": float(batch.fps),
        "shape": list(clip.shape[1:]),
        "clip_0_sha256": hashlib.sha256(clip.numpy().tobytes()).hexdigest(),
    }


def _grown(
    folder: Path,
    about: dict[str, object],
    count: int,
    batch_size: int,
    make: Callable[[Sequence[int]], ClipSet],
    progress: Progress,
    what: str,
) -> ClipSet:
    """Batches of ``about``, one file each, in a folder of their own; those there are kept."""
    text = json.dumps(about, indent=1, sort_keys=True)
    place = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "about.json", text + "\n")
    names = [f.name for f in fields(ClipSet)]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, count, batch_size):
        indices = range(start, min(count, start + batch_size))
        file = place / f"{indices.start:06d}-{indices.stop:06d}.npz"
        progress(start, count, what)
        if not file.is_file():
            made = make(indices)
            with whole_file(file) as temporary:
                np.savez(temporary, **{name: getattr(made, name) for name in names})
        with np.load(file) as kept:
            for name in names:
                parts[name].append(kept[name])
    progress(count, count, what)
    return ClipSet(**{name: np.concatenate(part) for name, part in parts.items()})
