"""SVD's encoder, of pictures, and its decoder, of clips."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ....models.resblock import Upsample
from ....models.svd_vae import HalvePicture, SvdDecoder, SvdEncoder
from ....models.vae_blocks import ClipResBlock, FramesResBlock, PictureAttention, PictureResBlock
from ..constants import alpha_of
from .layers import (
    Convolution,
    Norm,
    Replacements,
    ToChannelsFirst,
    ToChannelsLast,
    UpsampledConvolution,
    adopt_children,
    replace_modules,
    shortcut_of,
)


class ResBlock(nn.Module):
    """Four ops: norm1, SiLU, conv1, norm2, SiLU, conv2, + shortcut; x [N, H, W, C] or
    [B, F, S, C]. ``scale`` multiplies all but the shortcut."""

    def __init__(self, of: PictureResBlock | FramesResBlock, scale: float = 1.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(of.norm1, silu=True), Norm(of.norm2, silu=True)
        self.conv1, self.conv2 = Convolution(of.conv1), Convolution(of.conv2, scale)
        shortcut = of.conv_shortcut if isinstance(of, PictureResBlock) else None
        self.conv_shortcut = shortcut_of(shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        y = self.conv1(self.norm1(x))
        return self.conv2(self.norm2(y), residual=shortcut)


class ClipBlock(nn.Module):
    """ClipResBlock: the blend of spatial s and temporal s + t is s + alpha t."""

    def __init__(self, of: ClipResBlock) -> None:
        super().__init__()
        self.spatial_res_block = ResBlock(of.spatial_res_block)
        self.temporal_res_block = ResBlock(of.temporal_res_block, alpha_of(of.time_mixer))

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        x = self.spatial_res_block(x)
        n, h, w, c = x.shape
        return self.temporal_res_block(x.view(n // frames, frames, h * w, c)).view(n, h, w, c)


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
    PictureResBlock: ResBlock,
    PictureAttention: Attention,
    HalvePicture: HalvedPicture,
    Upsample: UpsampledConvolution.of_upsample,
}
