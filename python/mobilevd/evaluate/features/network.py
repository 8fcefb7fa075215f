"""The network whose features the distance is taken on: a small (2+1)-D convolutional network.

It learns to say what a clip of moving digits holds and what went wrong with it, so its features
follow content, motion and quality.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .damage import DAMAGES

FRAMES, SIZE = 14, 64
DIGITS, CLASSES = 2, 10
SEEN = (0, FRAMES // 2, FRAMES - 1)  # the frames whose positions are asked for
# Of one digit: logits of its value; then centres (x, y) in SEEN, colour, side.
DIGIT_NUMBERS = 2 * len(SEEN) + 3 + 1


class Block(nn.Module):
    """Convolution over space, then over time, each with its norm, around a shortcut."""

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

    def __init__(self, width: int = 128, channels: tuple[int, ...] = (32, 64, 96, 128)) -> None:
        super().__init__()
        first, second, third, last = channels
        self.stem = nn.Conv3d(3, first, (1, 5, 5), (1, 4, 4), (0, 2, 2))
        self.blocks = nn.Sequential(
            Block(first, second, 2, 1), Block(second, third, 2, 2), Block(third, last, 1, 2)
        )
        self.squeeze = nn.Conv3d(last, 32, 1)
        self.to_features = nn.Linear(32 * 4 * (SIZE // 16) ** 2, width)
        self.standardise = nn.BatchNorm1d(width, affine=False)
        self.heads = nn.Sequential(
            nn.SiLU(), nn.Linear(width, DIGITS * (CLASSES + DIGIT_NUMBERS) + len(DAMAGES))
        )

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        if clips.shape[1:] != (FRAMES, 3, SIZE, SIZE):
            raise ValueError(
                f"the feature network sees {FRAMES} frames of {SIZE}x{SIZE}, not clips of shape "
                f"{tuple(clips.shape[1:])}"
            )
        x = self.blocks(F.silu(self.stem(clips.transpose(1, 2))))
        return self.standardise(self.to_features(F.silu(self.squeeze(x)).flatten(1)))

    def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits [B, 2, 10] and numbers [B, 2, DIGIT_NUMBERS] of the digits; damage [B, kinds]."""
        digits, damage = self.heads(self.features(clips)).split(
            [DIGITS * (CLASSES + DIGIT_NUMBERS), len(DAMAGES)], dim=1
        )
        digits = digits.unflatten(1, (DIGITS, -1))
        # Everything asked for lies in [0, 1]: training starts in the middle.
        return digits[..., :CLASSES], digits[..., CLASSES:] + 0.5, damage
