"""What SVD's VAE is made of: residual blocks without a time embedding, attention over a picture.

The maths is diffusers' (``ResnetBlock2D``, ``TemporalResnetBlock`` and ``SpatioTemporalResBlock``
with ``temb_channels=None``, ``Attention`` on a map); H and W are merged as in ``resblock.py``, so
nothing has five dimensions.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .attention import AttentionCore, spatial_attention
from .transformer import AlphaBlender


class PictureResBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 conv, GroupNorm, SiLU, 3x3 conv, + shortcut; x [N, C, H, W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(32, in_channels, eps=1e-6)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(32, out_channels, eps=1e-6)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = (
            nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        x = self.conv1(F.silu(self.norm1(x)))
        return shortcut + self.conv2(F.silu(self.norm2(x)))


class FramesResBlock(nn.Module):
    """The same over frames: x [B, C, F, S], S = H*W; convolutions (3, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(32, channels, eps=1e-5)
        self.conv1 = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        self.norm2 = nn.GroupNorm(32, channels, eps=1e-5)
        self.conv2 = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class ClipResBlock(nn.Module):
    """Picture then frames block, blended; x [B*F, C, H, W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.spatial_res_block = PictureResBlock(in_channels, out_channels)
        self.temporal_res_block = FramesResBlock(out_channels)
        self.time_mixer = AlphaBlender()

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        x = self.spatial_res_block(x)
        n, c, h, w = x.shape
        spatial = x.reshape(n // frames, frames, c, h * w).transpose(1, 2).contiguous()
        # The decoder's sigmoid(mix_factor) weighs the temporal branch, the UNet's the spatial one
        # (diffusers: switch_spatial_to_temporal_mix).
        x = self.time_mixer(self.temporal_res_block(spatial), spatial)
        return x.transpose(1, 2).contiguous().view(n, c, h, w)


class PictureAttention(nn.Module):
    """Self-attention over the H*W positions with one head, residual; x [N, C, H, W].

    ``core`` is replaced by the export rewrites, as in :class:`mobilevd.models.attention`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = channels**-0.5
        self.core: AttentionCore = spatial_attention
        self.group_norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.group_norm(x).flatten(2).transpose(1, 2)  # [N, S, C]
        y = self.to_out(self.core(self.to_q(y), self.to_k(y), self.to_v(y), 1, self.scale))
        return x + y.transpose(1, 2).contiguous().view(x.shape)
