"""The network whose features the distance is taken on: a small (2+1)-D convolutional network.

It learns to say what a clip of moving digits holds and what went wrong with it, so its features
follow content, motion and quality.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .damage import DAMAGES

FRAMES, SIZE = 14, 64
DIGITS, VALUES = 2, 10
SEEN = (0, FRAMES // 2, FRAMES - 1)  # the frames whose positions are asked for
PLACEMENT = 2 * len(SEEN) + 3 + 1  # of one digit: centres (x, y) in SEEN, colour, side


@dataclass(frozen=True)
class Answers:
    """What training asks for, of B clips.

    ``present`` [B, 10]: logit of each value being there; ``placement`` [B, 2, PLACEMENT] of the
    digits, in any order; ``damage`` [B, kinds]: strengths; ``value_map`` [B, 11, T, h, w]: logits
    of the value of a digit whose centre is there, in T of the frames, last that none is.
    """

    present: torch.Tensor
    placement: torch.Tensor
    damage: torch.Tensor
    value_map: torch.Tensor


class Block(nn.Module):
    """Convolution over space, then over time; a shortcut past the second."""

    def __init__(self, inside: int, outside: int, stride: int, time_stride: int) -> None:
        super().__init__()
        self.space = nn.Conv3d(inside, outside, (1, 3, 3), (1, stride, stride), (0, 1, 1))
        self.space_norm = nn.GroupNorm(8, outside)
        self.time = nn.Conv3d(outside, outside, (3, 1, 1), (time_stride, 1, 1), (1, 0, 0))
        self.time_norm = nn.GroupNorm(8, outside)
        self.time_stride = time_stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.silu(self.space_norm(self.space(x)))
        return x[:, :, :: self.time_stride] + F.silu(self.time_norm(self.time(x)))


class FeatureNetwork(nn.Module):
    """``features``: clips [B, 14, 3, 64, 64] in [-1, 1] -> [B, width].

    Features are standardised by running statistics, so that a distance of 1 is one standard
    deviation in one direction. ``forward`` gives what training asks for.
    """

    def __init__(self, width: int = 128, channels: tuple[int, ...] = (16, 32, 64, 96, 128)) -> None:
        super().__init__()
        first, second, third, fourth, last = channels
        self.stem = nn.Conv3d(3, first, (1, 5, 5), (1, 2, 2), (0, 2, 2))
        self.fine = nn.Sequential(
            Block(first, second, 2, 2), Block(second, third, 2, 1), Block(third, fourth, 1, 2)
        )
        self.coarse = Block(fourth, last, 2, 1)
        self.squeeze = nn.Conv3d(last, 32, 1)
        flat = 32 * ((FRAMES + 3) // 4) * (SIZE // 16) ** 2
        self.to_features = nn.Linear(flat + VALUES + fourth + last, width)
        self.standardise = nn.BatchNorm1d(width, affine=False)
        self.heads = nn.Sequential(
            nn.SiLU(), nn.Linear(width, VALUES + DIGITS * PLACEMENT + len(DAMAGES))
        )
        self.value_map = nn.Conv3d(fourth, VALUES + 1, 1)

    def _maps(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if clips.shape[1:] != (FRAMES, 3, SIZE, SIZE):
            raise ValueError(
                f"the feature network sees {FRAMES} frames of {SIZE}x{SIZE}, not clips of shape "
                f"{tuple(clips.shape[1:])}"
            )
        fine = self.fine(F.silu(self.stem(clips.transpose(1, 2))))
        return fine, self.value_map(fine)

    def _features(self, fine: torch.Tensor, value_map: torch.Tensor) -> torch.Tensor:
        coarse = self.coarse(fine)
        # What is where and when, and what is there at all.
        likely = value_map.softmax(1)[:, :VALUES]
        there = [x.amax((-2, -1)).mean(-1) for x in (likely, fine, coarse)]
        flat = F.silu(self.squeeze(coarse)).flatten(1)
        return self.standardise(self.to_features(torch.cat([flat, *there], 1)))

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        return self._features(*self._maps(clips))

    def forward(self, clips: torch.Tensor) -> Answers:
        fine, value_map = self._maps(clips)
        present, placement, damage = self.heads(self._features(fine, value_map)).split(
            [VALUES, DIGITS * PLACEMENT, len(DAMAGES)], dim=1
        )
        # Every number of a placement lies in [0, 1]: training starts in the middle.
        placement = placement.unflatten(1, (DIGITS, -1)) + 0.5
        return Answers(present, placement, damage, value_map)
