"""Clips for training and evaluation: every clip is a function of (seed, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .clip import Clip, ClipSource, Size, clip_rng, motion_bucket
from .digits import MovingDigits
from .photographs import HELD_OUT, Photographs
from .videos import Videos

__all__ = [
    "Batch",
    "Clip",
    "ClipSource",
    "Mixture",
    "Size",
    "clip_rng",
    "load_batch",
    "motion_bucket",
]


class Mixture:
    """The built-in set: real videos, pans and zooms over photographs, moving digits."""

    WEIGHTS = (0.2, 0.3, 0.5)

    def __init__(self, split: str = "train") -> None:
        photographs = Photographs(HELD_OUT) if split == "test" else Photographs()
        self.sources: tuple[ClipSource, ...] = (
            Videos(split=split),
            photographs,
            MovingDigits(split),
        )

    def draw(self, rng: np.random.Generator, frames: int, size: Size) -> Clip:
        return self.sources[rng.choice(len(self.sources), p=self.WEIGHTS)].draw(rng, frames, size)


@dataclass
class Batch:
    """``clips`` float32 [B, F, 3, H, W] in [-1, 1]; ``fps`` and ``motion_bucket`` [B]."""

    clips: torch.Tensor
    fps: torch.Tensor
    motion_bucket: torch.Tensor


def load_batch(
    source: ClipSource, seed: int, first: int, count: int, frames: int, size: Size
) -> Batch:
    """Clips ``first .. first + count - 1`` of stream ``seed``."""
    drawn = [source.draw(clip_rng(seed, first + i), frames, size) for i in range(count)]
    pixels = torch.from_numpy(np.stack([c.frames for c in drawn])).permute(0, 1, 4, 2, 3)
    return Batch(
        clips=pixels.float() / 127.5 - 1.0,
        fps=torch.tensor([float(c.fps) for c in drawn]),
        motion_bucket=torch.tensor([float(c.motion_bucket) for c in drawn]),
    )
