"""The UNet: features are [B*F, H, W, C], which is the layout of tokens, so that nothing is permuted
between the blocks."""

from __future__ import annotations

import torch
from torch import nn

from ....models.resblock import (
    Downsample,
    SpatialResBlock,
    SpatioTemporalResBlock,
    TemporalResBlock,
    Upsample,
)
from ....models.transformer import SpatioTemporalTransformer
from ....models.unet import UNet, UpBlock
from ..constants import alpha_of
from ..linear import linear_of
from ..replace import Replacements, replace_modules
from .layers import (
    Convolution,
    ConvPair,
    Norm,
    UpsampledConvolution,
    adopt_children,
    shortcut_of,
)


class TimedConvPair(ConvPair):
    """The time is added behind conv1: its projection, with conv1's bias in it, is the bias."""

    def __init__(self, of: SpatialResBlock | TemporalResBlock, scale: float = 1.0) -> None:
        super().__init__(of, scale)
        time = of.time_emb_proj
        self.time_emb_proj = linear_of(time.weight, time.bias + self.conv1.bias)
        del self.conv1.bias

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, time: torch.Tensor, residual: torch.Tensor
    ) -> torch.Tensor:
        """time [1, D], of one clip."""
        return super().forward(x, residual, self.time_emb_proj(time).view(-1).float())


class ResBlock(nn.Module):
    """SpatioTemporalResBlock of one clip. The blend of spatial s and temporal s + t is
    s + (1 - alpha) t."""

    def __init__(self, of: SpatioTemporalResBlock) -> None:
        super().__init__()
        self.spatial_res_block = TimedConvPair(of.spatial_res_block)
        self.conv_shortcut = shortcut_of(of.spatial_res_block.conv_shortcut)
        self.has_temporal = of.has_temporal
        if of.has_temporal:
            rest = 1.0 - alpha_of(of.time_mixer)
            self.temporal_res_block = TimedConvPair(of.temporal_res_block, rest)

    def forward(self, x: torch.Tensor, time: torch.Tensor, frames: int) -> torch.Tensor:
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        x = self.spatial_res_block(x, time, shortcut)
        if not self.has_temporal:
            return x
        n, h, w, c = x.shape
        clip = x.view(n // frames, frames, h * w, c)
        return self.temporal_res_block(clip, time, clip).view(n, h, w, c)


class Transformer(SpatioTemporalTransformer):
    """Tokens are the features themselves, by view."""

    def __init__(self, of: SpatioTemporalTransformer) -> None:
        nn.Module.__init__(self)
        adopt_children(self, of)
        self.has_temporal = of.has_temporal
        self.norm = Norm(of.norm, silu=False)  # type: ignore[assignment]

    def forward(self, x: torch.Tensor, context: torch.Tensor, frames: int) -> torch.Tensor:
        n, h, w, c = x.shape
        tokens = self.norm(x).view(n // frames, frames, h * w, c)
        return x + self.tokens(tokens, context).view(n, h, w, c)


@torch.no_grad()
def put_unet_channels_last(unet: UNet) -> None:
    """Of one clip and without unmerged funnels."""
    unet.channels_last = True
    for module in unet.modules():
        if isinstance(module, UpBlock):
            module.channels_last = True
    replace_modules(unet, _OURS)
    unet.conv_in, unet.conv_out = Convolution(unet.conv_in), Convolution(unet.conv_out)  # type: ignore[assignment]
    unet.conv_norm_out = Norm(unet.conv_norm_out, silu=False)  # type: ignore[assignment]


_OURS: Replacements = {
    SpatioTemporalResBlock: ResBlock,
    SpatioTemporalTransformer: Transformer,
    Upsample: UpsampledConvolution.of_upsample,
    Downsample: Convolution,
}
