"""Sinusoids and the small MLPs on top of them (SVD's time, micro-conditioning, frame position)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F


def sinusoid(values: torch.Tensor, channels: int) -> torch.Tensor:
    """[N] -> [N, channels]: cos then sin of values * 10000^(-i / (channels/2)).

    diffusers' ``Timesteps(channels, flip_sin_to_cos=True, downscale_freq_shift=0)``.
    """
    half = channels // 2
    exponent = torch.arange(half, dtype=torch.float32, device=values.device) / half
    angles = values.float()[:, None] * torch.exp(-math.log(10000.0) * exponent)[None, :]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class EmbeddingMLP(nn.Module):
    """Linear, SiLU, Linear (diffusers' ``TimestepEmbedding``)."""

    def __init__(self, in_features: int, hidden: int, out_features: int | None = None) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_features, hidden)
        self.linear_2 = nn.Linear(hidden, out_features or hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class FramePosition(EmbeddingMLP):
    """Position embedding of the frames of a clip: ``forward(frames)`` -> [frames, channels]."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 4 * channels, channels)
        self.channels = channels

    def forward(self, frames: int) -> torch.Tensor:  # type: ignore[override]
        weight = self.linear_1.weight
        index = torch.arange(frames, device=weight.device)
        return super().forward(sinusoid(index, self.channels).to(weight.dtype))
