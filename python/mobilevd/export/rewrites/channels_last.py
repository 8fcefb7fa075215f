"""Features as [B*F, H, W, C] from the first convolution to the last, for our own kernels.

It is the layout of tokens, so that nothing is permuted between the blocks; convolutions go to
``mobilevd::conv2d_3x3`` and ``temporal_conv``, norms to ``group_norm_silu``. XNNPACK's convolutions
took more than half of the UNet's time at 512x256 (``make full-size-bench``).
"""

from __future__ import annotations

import torch
from torch import nn

from ...models.resblock import (
    Downsample,
    SpatialResBlock,
    SpatioTemporalResBlock,
    TemporalResBlock,
    Upsample,
)
from ...models.transformer import SpatioTemporalTransformer
from ...models.unet import UNet, UpBlock
from .constants import alpha_of
from .linear import linear_of


class Norm(nn.Module):
    """GroupNorm, with SiLU behind it or without: x [N, ..., C]."""

    def __init__(self, norm: nn.GroupNorm, silu: bool) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.constants = (norm.num_groups, norm.eps, silu, True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mobilevd.group_norm_silu(x, self.weight, self.bias, *self.constants)


class Convolution(nn.Module):
    """3x3 of either stride over x [N, H, W, C], or (3, 1) over x [B, F, S, C], padding 1.

    ``scale`` multiplies weights and bias. A ``bias`` [C'] given to ``forward`` is in place of its
    own; ``residual`` is added.
    """

    def __init__(self, of: nn.Conv2d, scale: float = 1.0) -> None:
        super().__init__()
        if of.kernel_size not in ((3, 3), (3, 1)):
            raise ValueError(f"no kernel of ours for {of}")
        weight = of.weight.detach()
        self.weight = nn.Parameter(_packed(weight if scale == 1 else weight * scale))
        bias = of.bias.detach() if of.bias is not None else weight.new_zeros(of.out_channels)
        self.bias = nn.Parameter(bias if scale == 1 else bias * scale)
        self.out_channels = of.out_channels
        ops = torch.ops.mobilevd
        self.op = ops.conv2d_3x3 if of.kernel_size == (3, 3) else ops.temporal_conv
        self.stride = of.stride[:1] if of.kernel_size == (3, 3) else ()

    def forward(
        self,
        x: torch.Tensor,
        bias: torch.Tensor | None = None,
        residual: torch.Tensor | None = None,
    ) -> torch.Tensor:
        bias = self.bias if bias is None else bias
        return self.op(x, self.weight, self.out_channels, bias, residual, False, *self.stride)


def _packed(weight: torch.Tensor) -> torch.Tensor:
    """``pack_conv_weight``, or for weights that are only promised, the shape of it."""
    from ...kernels import pack_conv_weight
    from ...kernels.torch_ops.conv import packed_shape

    if weight.is_meta:
        c_out, c_in, rows, columns = weight.shape
        return weight.new_empty(packed_shape(c_out, rows * columns, c_in))
    return pack_conv_weight(weight)


class ConvPair(nn.Module):
    """norm1, SiLU, conv1, + time, norm2, SiLU, conv2, + ``residual``: three ops and a Linear.

    conv1's bias is in the time's projection, whose result is the bias of conv1.
    """

    def __init__(self, of: SpatialResBlock | TemporalResBlock, scale: float = 1.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(of.norm1, silu=True), Norm(of.norm2, silu=True)
        self.conv1, self.conv2 = Convolution(of.conv1), Convolution(of.conv2, scale)
        time = of.time_emb_proj
        self.time_emb_proj = linear_of(time.weight, time.bias + self.conv1.bias)
        del self.conv1.bias

    def forward(self, x: torch.Tensor, time: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """x [N, H, W, C] or [1, F, S, C]; time [1, D]."""
        y = self.conv1(self.norm1(x), self.time_emb_proj(time).view(-1))
        return self.conv2(self.norm2(y), residual=residual)


class ResBlock(nn.Module):
    """SpatioTemporalResBlock of one clip. The blend of spatial s and temporal s + t is
    s + (1 - alpha) t."""

    def __init__(self, of: SpatioTemporalResBlock) -> None:
        super().__init__()
        self.spatial_res_block = ConvPair(of.spatial_res_block)
        shortcut = of.spatial_res_block.conv_shortcut
        self.conv_shortcut = shortcut and linear_of(shortcut.weight.flatten(1), shortcut.bias)
        self.has_temporal = of.has_temporal
        if of.has_temporal:
            rest = 1.0 - alpha_of(of.time_mixer)
            self.temporal_res_block = ConvPair(of.temporal_res_block, rest)

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
        for name, child in of.named_children():
            setattr(self, name, child)
        self.has_temporal = of.has_temporal
        self.norm = Norm(of.norm, silu=False)  # type: ignore[assignment]

    def forward(self, x: torch.Tensor, context: torch.Tensor, frames: int) -> torch.Tensor:
        n, h, w, c = x.shape
        tokens = self.norm(x).view(n // frames, frames, h * w, c)
        return x + self.tokens(tokens, context).view(n, h, w, c)


class UpsampledConvolution(Convolution):
    """Nearest pixels, each as a copy beside itself, then the convolution."""

    def __init__(self, of: Upsample) -> None:
        super().__init__(of)
        self.scale = of.scale

    def forward(self, x: torch.Tensor, *_: torch.Tensor | None) -> torch.Tensor:
        n, h, w, c = x.shape
        columns = torch.cat([x.view(n * h * w, 1, c)] * self.scale, 1)
        rows = torch.cat([columns.view(n * h, 1, w * self.scale * c)] * self.scale, 1)
        return super().forward(rows.view(n, h * self.scale, w * self.scale, c))


@torch.no_grad()
def put_channels_last(unet: UNet) -> None:
    """The whole UNet, of one clip and without unmerged funnels; float32."""
    from ...kernels import torch_ops  # noqa: F401  (registers the ops)

    unet.channels_last = True
    for module in list(unet.modules()):
        if isinstance(module, UpBlock):
            module.channels_last = True
        for name, child in module.named_children():
            for kind, ours in _OURS.items():
                if isinstance(child, kind):
                    setattr(module, name, ours(child))
    unet.conv_in, unet.conv_out = Convolution(unet.conv_in), Convolution(unet.conv_out)  # type: ignore[assignment]
    unet.conv_norm_out = Norm(unet.conv_norm_out, silu=False)  # type: ignore[assignment]


_OURS = {
    SpatioTemporalResBlock: ResBlock,
    SpatioTemporalTransformer: Transformer,
    Upsample: UpsampledConvolution,
    Downsample: Convolution,
}
