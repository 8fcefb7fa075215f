"""SVD's residual blocks: 2-D over a frame, 1-D over frames, blended; resampling."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .transformer import AlphaBlender


def _as_map(embedding: torch.Tensor) -> torch.Tensor:
    """[N, C] -> [N, C, 1, 1], by view: indexing with None would be a copy on a phone."""
    return embedding.view(*embedding.shape, 1, 1)


def _per_frame(embedding: torch.Tensor, frames: int) -> torch.Tensor:
    """[B, C] -> [B*F, C], or [1, C] left to broadcast: one clip needs no copies."""
    if embedding.shape[0] == 1:
        return embedding
    return embedding[:, None].expand(-1, frames, -1).flatten(0, 1)


class SpatialResBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 conv, + time, GroupNorm, SiLU, 3x3 conv, + shortcut; x [N, C, H, W]."""

    def __init__(self, in_channels: int, out_channels: int, time_dim: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(32, in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_dim, out_channels)
        self.norm2 = nn.GroupNorm(32, out_channels, eps=eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = (
            nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None
        )

    def forward(self, x: torch.Tensor, time: torch.Tensor, frames: int) -> torch.Tensor:
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        x = self.conv1(F.silu(self.norm1(x)))
        x = x + _as_map(_per_frame(self.time_emb_proj(time), frames))
        x = self.conv2(F.silu(self.norm2(x)))
        return shortcut + x


class TemporalResBlock(nn.Module):
    """The same over frames: x [B, C, F, S], S = H*W; convolutions (3, 1) with 4-D weights.

    diffusers has [B, C, F, H, W] with 5-D weights [C, C, 3, 1, 1]; merging H and W is exact and
    keeps every operator within what the mobile backends take.
    """

    def __init__(self, channels: int, time_dim: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(32, channels, eps=eps)
        self.conv1 = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        self.time_emb_proj = nn.Linear(time_dim, channels)
        self.norm2 = nn.GroupNorm(32, channels, eps=eps)
        self.conv2 = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + _as_map(self.time_emb_proj(time))
        h = self.conv2(F.silu(self.norm2(h)))
        return x + h


class SpatioTemporalResBlock(nn.Module):
    """Spatial then temporal residual block, blended; x [B*F, C, H, W], time [B, D] after SiLU."""

    def __init__(self, in_channels: int, out_channels: int, time_dim: int, eps: float) -> None:
        super().__init__()
        self.spatial_res_block = SpatialResBlock(in_channels, out_channels, time_dim, eps)
        self.temporal_res_block = TemporalResBlock(out_channels, time_dim, eps)
        self.time_mixer = AlphaBlender()

    def forward(self, x: torch.Tensor, time: torch.Tensor, frames: int) -> torch.Tensor:
        # contiguous() is said aloud: implied copies reach XNNPACK as outputs given twice, which it
        # refuses.
        x = self.spatial_res_block(x, time, frames)
        n, c, h, w = x.shape
        spatial = x.reshape(n // frames, frames, c, h * w).transpose(1, 2).contiguous()
        x = self.time_mixer(spatial, self.temporal_res_block(spatial, time))
        return x.transpose(1, 2).contiguous().view(n, c, h, w)


class Downsample(nn.Conv2d):
    """Stride-2 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1)


class Upsample(nn.Conv2d):
    """Nearest x2, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))
