"""SVD's encoder, of pictures, and its decoder, of clips."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ....models.resblock import Upsample
from ....models.svd_vae import HalvePicture, SvdDecoder, SvdEncoder
from ....models.vae_blocks import ClipResBlock, PictureAttention, PictureResBlock
from ..constants import alpha_of
from ..replace import Replacements, replace_modules
from .layers import (
    Convolution,
    ConvPair,
    Norm,
    ToChannelsFirst,
    ToChannelsLast,
    UpsampledConvolution,
    adopt_children,
    shortcut_of,
)


class PictureBlock(ConvPair):
    """PictureResBlock over x [N, H, W, C]."""

    def __init__(self, of: PictureResBlock) -> None:
        super().__init__(of)
        self.conv_shortcut = shortcut_of(of.conv_shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        return super().forward(x, shortcut)


class ClipBlock(nn.Module):
    """ClipResBlock: the blend of spatial s and temporal s + t is s + alpha t."""

    def __init__(self, of: ClipResBlock) -> None:
        super().__init__()
        self.spatial_res_block = PictureBlock(of.spatial_res_block)
        self.temporal_res_block = ConvPair(of.temporal_res_block, alpha_of(of.time_mixer))

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        x = self.spatial_res_block(x)
        n, h, w, c = x.shape
        clip = x.view(n // frames, frames, h * w, c)
        return self.temporal_res_block(clip, clip).view(n, h, w, c)


class Attention(PictureAttention):
    """Tokens are the features themselves, by view."""

    def __init__(self, of: PictureAttention) -> None:
        nn.Module.__init__(self)
        self.scale, self.core = of.scale, of.core
        adopt_children(self, of)
        self.group_norm = Norm(of.group_norm, silu=False)  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, h, w, c = x.shape
        y = self.group_norm(x).view(n, h * w, c)
        y = self.core(self.to_q(y), self.to_k(y), self.to_v(y), 1, self.scale)
        return x + self.to_out(y).view(n, h, w, c)


class HalvedPicture(Convolution):
    """The kernel pads on all sides. With a row and a column of zeros before the picture, its
    results from the second on are those that read no padding at the top and at the left."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(F.pad(x, (0, 0, 1, 0, 1, 0)))[:, 1:, 1:].contiguous()


@torch.no_grad()
def put_svd_vae_channels_last(network: SvdEncoder | SvdDecoder) -> None:
    replace_modules(network, _OURS)
    network.conv_in = nn.Sequential(ToChannelsLast(), Convolution(network.conv_in))  # type: ignore[assignment]
    network.conv_norm_out = Norm(network.conv_norm_out, silu=False)  # type: ignore[assignment]
    last = [Convolution(network.conv_out), ToChannelsFirst()]
    network.conv_out = nn.Sequential(*last)  # type: ignore[assignment]


_OURS: Replacements = {
    ClipResBlock: ClipBlock,
    PictureResBlock: PictureBlock,
    PictureAttention: Attention,
    HalvePicture: HalvedPicture,
    Upsample: UpsampledConvolution.of_upsample,
}
