"""A training clip and the rule that makes every one of them reproducible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Clip:
    """``frames`` uint8 [F, H, W, 3]; ``fps`` as shown; ``motion_bucket`` 0..255 (see below)."""

    frames: np.ndarray
    fps: float
    motion_bucket: int


class ClipSource(Protocol):
    """Draws a clip of ``frames`` of ``size`` (height, width) from a generator and nothing else."""

    def draw(self, rng: np.random.Generator, frames: int, size: Size) -> Clip: ...


def clip_rng(seed: int, index: int) -> np.random.Generator:
    """Clip ``index`` of stream ``seed`` is the same in every run, order and process."""
    return np.random.Generator(np.random.Philox(key=[seed, index]))


def motion_bucket(frames: np.ndarray) -> int:
    """Mean absolute change from frame to frame (of 255), times 10, at most 255.

    SVD's buckets come from optical flow; this is our own, cheaper scale: 127 is a lively clip.
    """
    change = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean() if len(frames) > 1 else 0.0
    return int(min(255, round(10 * float(change))))
