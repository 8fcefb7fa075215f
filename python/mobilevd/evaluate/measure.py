"""One row of the table: a model's clips against real ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..models.store import Model
from ..training.data import ClipSource
from ..training.precision import bf16_is_native
from ..whole_files import whole_file
from .clip_batches import COMMON_SIZE, sampler_of
from .clip_set import ClipSet, Extractor, Progress, generated_set, real_set
from .features import DigitsFeatures
from .frechet import (
    bootstrap_interval,
    frechet_distance,
    gaussian_of,
    polynomial_mmd,
)
from .motion import motion_distance, motion_distances

CLIPS = 1024


def measure(
    model: Model,
    clips: int,
    work_folder: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    extract: Extractor | None = None,
    source: ClipSource | None = None,
    batch_size: int = 8,
    sheet: Path | None = None,
    progress: Progress = lambda done, total, what: None,
) -> dict[str, Any]:
    """Figures of ``clips`` clips of a model against real ones; run again, it goes on.

    The pictures are first frames of stream 2 ``seed``; the real set is stream 2 ``seed`` + 1, so
    that a perfect model gets the floor: the distance of the real clips that the pictures are from.
    ``extract`` decides which distance it is (default: the Fréchet digits distance); ``source``
    gives the real clips (default: held-out moving digits). A real clip's motion bucket tells of its
    future, so for FVD all clips have the model's own (SVD's 127). ``sheet``: a PNG of some of the
    clips below the real ones.
    """
    sampler = sampler_of(model, steps)
    preset = sampler.model.preset
    extract = extract or DigitsFeatures()
    frames = preset.unet.num_frames
    if extract.frames not in (None, frames):
        raise ValueError(
            f"the {extract.name} is of clips of {extract.frames} frames; {preset.name}'s have "
            f"{frames}"
        )
    # For FVD both go the same way, from the model's own size to I3D's.
    fvd = extract.key == "fvd"
    size = preset.size if fvd else COMMON_SIZE
    real_clips = partial(
        real_set,
        extract,
        work_folder,
        frames=frames,
        size=size,
        batch_size=max(1, 64 * COMMON_SIZE[0] * COMMON_SIZE[1] // (size[0] * size[1])),
        source=source,
        progress=progress,
    )
    started_from = real_clips(clips, seed=2 * seed)
    real = real_clips(extract.real_sets * clips, seed=2 * seed + 1)
    made = generated_set(
        sampler,
        extract,
        work_folder,
        clips,
        seed=2 * seed,
        source=source,
        motion_bucket=preset.sampling.motion_bucket if fvd else None,
        batch_size=batch_size,
        progress=progress,
    )
    if sheet is not None:
        write_sheet(sheet, made, started_from)
    return {
        "name": preset.name,
        "nfe": preset.sampling.evaluations,
        "clips": clips,
        "precision": "bf16" if bf16_is_native(sampler.device.type) else "fp32",
        "distance_name": extract.name,
        "features_sha256": extract.digest,
        **compare(made, real, started_from, extract.key),
        "seed": seed,
    }


def compare(
    made: ClipSet, real: ClipSet, real_beside: ClipSet, key: str = "distance"
) -> dict[str, Any]:
    """Figures of ``made`` against ``real``; floors by ``real_beside``, real clips as well."""
    low, high = bootstrap_interval(made.features, real.features)
    return {
        key: frechet_distance(gaussian_of(made.features), gaussian_of(real.features)),
        f"{key}_ci95": [low, high],
        f"{key}_floor": frechet_distance(
            gaussian_of(real_beside.features), gaussian_of(real.features)
        ),
        "mmd": polynomial_mmd(made.features, real.features),
        "mmd_floor": polynomial_mmd(real_beside.features, real.features),
        "motion": motion_distance(made.motion, real.motion),
        "motion_floor": motion_distance(real_beside.motion, real.motion),
        "motion_by_statistic": motion_distances(made.motion, real.motion),
        "first_frame_psnr_db": float(np.mean(made.first_frame_psnr_db)),
        "real_clips": len(real),
    }


def write_sheet(path: Path, made: ClipSet, real: ClipSet) -> None:
    """A PNG: for each clip shown, a row of the real one and below it the one made."""
    rows = []
    for true, ours in zip(real.shown, made.shown, strict=True):
        for frames in (true, ours):
            rows.append(np.concatenate(list(np.pad(frames, ((0, 0), (1, 1), (1, 1), (0, 0)))), 1))
        rows.append(np.full((4, *rows[-1].shape[1:]), 255, np.uint8))
    with whole_file(path) as temporary:
        Image.fromarray(np.concatenate(rows[:-1])).save(temporary)
