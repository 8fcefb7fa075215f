"""SVD's residual blocks: 2-D over a frame, 1-D over frames, blended; resampling."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .config import UNetConfig
from .transformer import AlphaBlender


def _as_map(embedding: torch.Tensor) -> torch.Tensor:
    """[N, C] -> [N, C, 1, 1], by view: indexing with None would be a copy on a phone."""
    return embedding.view(*embedding.shape, 1, 1)


def _per_frame(embedding: torch.Tensor, frames: int) -> torch.Tensor:
    """[B, C] -> [B*F, C], or [1, C] left to broadcast: one clip needs no copies."""
    if embedding.shape[0] == 1:
        return embedding
    return embedding[:, None].expand(-1, frames, -1).flatten(0, 1)


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A funnel between convolutions; without bias, so that it commutes with zero padding."""
    return nn.Conv2d(in_channels, out_channels, 1, bias=False)


class _ConvPair(nn.Module):
    """GroupNorm, SiLU, conv1, + time, GroupNorm, SiLU, conv2; a funnel narrows the middle.

    Unmerged, ``funnel_in`` follows conv1 and the time embedding and ``funnel_out`` precedes
    conv2; merged, the three layers between have the narrow width themselves.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: tuple[int, int],
        eps: float,
        config: UNetConfig,
        path: str,
    ) -> None:
        super().__init__()
        in_channels, out_channels = channels
        padding = (kernel[0] // 2, kernel[1] // 2)
        width = config.resblock_width(path)
        unmerged = width is not None and config.unmerged_funnels
        width = width or out_channels
        inner = out_channels if unmerged else width
        self.norm1 = nn.GroupNorm(32, in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, inner, kernel, padding=padding)
        self.time_emb_proj = nn.Linear(config.time_embed_dim, inner)
        self.norm2 = nn.GroupNorm(32, width, eps=eps)
        self.conv2 = nn.Conv2d(inner, out_channels, kernel, padding=padding)
        self.funnel_in = _pointwise(inner, width) if unmerged else None
        self.funnel_out = _pointwise(width, inner) if unmerged else None

    def pair(self, x: torch.Tensor, time: torch.Tensor, repeats: int) -> torch.Tensor:
        """x [B * repeats, C, ., .]; time [B, D], already through SiLU."""
        x = self.conv1(F.silu(self.norm1(x)))
        x = x + _as_map(_per_frame(self.time_emb_proj(time), repeats))
        if self.funnel_in is not None:
            x = self.funnel_in(x)
        x = F.silu(self.norm2(x))
        if self.funnel_out is not None:
            x = self.funnel_out(x)
        return self.conv2(x)


class SpatialResBlock(_ConvPair):
    """3x3 convolutions over a frame and a shortcut; x [B*F, C, H, W], time [B, D]."""

    def __init__(
        self, in_channels: int, out_channels: int, eps: float, config: UNetConfig, path: str
    ) -> None:
        super().__init__((in_channels, out_channels), (3, 3), eps, config, path)
        self.conv_shortcut = (
            nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None
        )

    def forward(self, x: torch.Tensor, time: torch.Tensor, frames: int) -> torch.Tensor:
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        return shortcut + self.pair(x, time, frames)


class TemporalResBlock(_ConvPair):
    """The same over frames: x [B, C, F, S], S = H*W; convolutions (3, 1) with 4-D weights.

    diffusers has [B, C, F, H, W] with 5-D weights [C, C, 3, 1, 1]; merging H and W is exact and
    keeps every operator within what the mobile backends take.
    """

    def __init__(self, channels: int, eps: float, config: UNetConfig, path: str) -> None:
        super().__init__((channels, channels), (3, 1), eps, config, path)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return x + self.pair(x, time, 1)


class SpatioTemporalResBlock(nn.Module):
    """Spatial then temporal residual block, blended; x [B*F, C, H, W], time [B, D] after SiLU.

    Where the temporal block was pruned, it and the blend do not exist.
    """

    def __init__(
        self, in_channels: int, out_channels: int, eps: float, config: UNetConfig, path: str
    ) -> None:
        super().__init__()
        self.spatial_res_block = SpatialResBlock(
            in_channels, out_channels, eps, config, f"{path}.spatial_res_block"
        )
        temporal_path = f"{path}.temporal_res_block"
        self.has_temporal = config.keeps(temporal_path)
        if self.has_temporal:
            self.temporal_res_block = TemporalResBlock(out_channels, eps, config, temporal_path)
            self.time_mixer = AlphaBlender()

    def forward(self, x: torch.Tensor, time: torch.Tensor, frames: int) -> torch.Tensor:
        x = self.spatial_res_block(x, time, frames)
        if not self.has_temporal:
            return x
        # contiguous() is said aloud: implied copies reach XNNPACK as outputs given twice, which it
        # refuses.
        n, c, h, w = x.shape
        spatial = x.reshape(n // frames, frames, c, h * w).transpose(1, 2).contiguous()
        x = self.time_mixer(spatial, self.temporal_res_block(spatial, time))
        return x.transpose(1, 2).contiguous().view(n, c, h, w)


class Downsample(nn.Conv2d):
    """Stride-2 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1)


class Upsample(nn.Conv2d):
    """Nearest x2 (x4 with spatial multiscaling), then a 3x3 convolution."""

    def __init__(self, channels: int, scale: int = 2) -> None:
        super().__init__(channels, channels, 3, padding=1)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.interpolate(x, scale_factor=float(self.scale), mode="nearest"))
