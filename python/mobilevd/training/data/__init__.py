"""Clips for training and evaluation: every clip is a function of (seed, index) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from .clip import Clip, ClipSource, Size, clip_rng, motion_bucket
from .digits import MovingDigits
from .photographs import HELD_OUT, Photographs
from .videos import Videos

__all__ = [
    "Batch",
    "BothSizes",
    "Clip",
    "ClipData",
    "ClipSource",
    "DrawnClips",
    "Mixture",
    "MovingDigits",
    "Photographs",
    "Size",
    "Videos",
    "clip_rng",
    "motion_bucket",
    "stacked",
]


class Mixture:
    """The built-in set: real videos, pans and zooms over photographs, moving digits."""

    WEIGHTS = (0.1, 0.1, 0.8)  # mostly what the benchmark asks for

    def __init__(self, split: str = "train") -> None:
        self.split = split
        photographs = Photographs(HELD_OUT) if split == "test" else Photographs()
        self.sources: tuple[ClipSource, ...] = (
            Videos(split=split),
            photographs,
            MovingDigits(split),
        )

    def __repr__(self) -> str:
        return f"Mixture({self.split}, {self.WEIGHTS})"

    def draw(self, rng: np.random.Generator, frames: int, size: Size) -> Clip:
        return self.sources[rng.choice(len(self.sources), p=self.WEIGHTS)].draw(rng, frames, size)


@dataclass
class Batch:
    """``first`` float32 [B, 3, H, W], the first frames; ``fps`` and ``motion_bucket`` [B].

    One of ``clips`` [B, F, 3, H, W] (pixels in [-1, 1]) and ``latents`` [B, F, 4, h, w] (the
    VAE's, unscaled) is there.
    """

    first: torch.Tensor
    fps: torch.Tensor
    motion_bucket: torch.Tensor
    clips: torch.Tensor | None = None
    latents: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.first)

    def to(self, device: torch.device | str) -> Batch:
        return Batch(**{k: v.to(device) for k, v in vars(self).items() if v is not None})


class ClipData(Protocol):
    """What a run trains on: clips by number, the same in every run, order and process."""

    def batch(self, indices: Sequence[int]) -> Batch: ...


def stacked(drawn: Sequence[Clip]) -> Batch:
    """Clips of one size as a batch of pixels."""
    pixels = torch.from_numpy(np.stack([c.frames for c in drawn])).permute(0, 1, 4, 2, 3)
    clips = pixels.float() / 127.5 - 1.0
    return Batch(
        first=clips[:, 0],
        fps=torch.tensor([float(c.fps) for c in drawn]),
        motion_bucket=torch.tensor([float(c.motion_bucket) for c in drawn]),
        clips=clips,
    )


@dataclass(frozen=True)
class DrawnClips:
    """Clips of a source as pixels; ``seed`` names the stream."""

    source: ClipSource
    frames: int
    size: Size
    seed: int = 0

    def batch(self, indices: Sequence[int]) -> Batch:
        rngs = (clip_rng(self.seed, i) for i in indices)
        return stacked([self.source.draw(rng, self.frames, self.size) for rng in rngs])


@dataclass(frozen=True)
class BothSizes:
    """Pairs of frames at a size and, every second batch of 24 numbers, at twice of it.

    Pictures of the larger size are a quarter as many (every fourth number): the same pixels.
    """

    source: ClipSource
    size: Size
    seed: int = 0
    block: int = 24

    def batch(self, indices: Sequence[int]) -> Batch:
        large = (indices[0] // self.block) % 2 == 1
        scale = 2 if large else 1
        size = (self.size[0] * scale, self.size[1] * scale)
        return DrawnClips(self.source, 2, size, self.seed).batch(indices[:: 4 if large else 1])
