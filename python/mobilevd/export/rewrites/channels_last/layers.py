"""What the networks are made of, on our kernels; pictures and clips with their channels last."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ....models.resblock import Upsample
from ..linear import linear_of


def adopt_children(new: nn.Module, old: nn.Module) -> None:
    """``old``'s children become ``new``'s, under their names."""
    for name, child in old.named_children():
        setattr(new, name, child)


def shortcut_of(conv: nn.Conv2d | None) -> nn.Linear | None:
    """A 1x1 convolution over channels that come last."""
    return None if conv is None else linear_of(conv.weight.flatten(1), conv.bias)


class ToChannelsLast(nn.Module):
    """[N, C, H, W] -> [N, H, W, C]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).contiguous()


class ToChannelsFirst(nn.Module):
    """[N, H, W, C] -> [N, C, H, W]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 3, 1, 2).contiguous()


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
    own; ``residual`` is added; ``activation`` ("silu", "relu") comes last.
    """

    # The kernels' biases are, beside float16 weights and features, too.
    stays_float32 = ("bias",)

    def __init__(self, of: nn.Conv2d, scale: float = 1.0, activation: str | None = None) -> None:
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
        self.activation = activation
        self.stride = of.stride[:1] if of.kernel_size == (3, 3) else ()

    def forward(
        self,
        x: torch.Tensor,
        bias: torch.Tensor | None = None,
        residual: torch.Tensor | None = None,
    ) -> torch.Tensor:
        bias = self.bias if bias is None else bias
        return self.op(
            x, self.weight, self.out_channels, bias, residual, self.activation, *self.stride
        )


def _packed(weight: torch.Tensor) -> torch.Tensor:
    """``pack_conv_weight``, or for weights that are only promised, the shape of it."""
    from ....kernels import pack_conv_weight
    from ....kernels.torch_ops.conv import packed_shape

    if weight.is_meta:
        c_out, c_in, rows, columns = weight.shape
        return weight.new_empty(packed_shape(c_out, rows * columns, c_in))
    return pack_conv_weight(weight)


class ConvPair(nn.Module):
    """norm1, SiLU, conv1, norm2, SiLU, conv2, + ``residual``: four ops. ``of`` has those layers;
    ``scale`` multiplies all but the residual."""

    def __init__(self, of: Any, scale: float = 1.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(of.norm1, silu=True), Norm(of.norm2, silu=True)
        self.conv1, self.conv2 = Convolution(of.conv1), Convolution(of.conv2, scale)

    def forward(
        self, x: torch.Tensor, residual: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x [N, H, W, C] or [B, F, S, C]; ``bias`` is in place of conv1's own."""
        return self.conv2(self.norm2(self.conv1(self.norm1(x), bias)), residual=residual)


def copied_pixels(x: torch.Tensor, scale: int) -> torch.Tensor:
    """[N, H, W, C] -> [N, scale * H, scale * W, C], nearest; whole pixels at once, where
    ExecuTorch's own op takes every value by itself."""
    n, h, w, c = x.shape
    # In memory a pixel's channels once more are a pixel more, and a row's pixels a row more.
    rows = torch.cat([torch.cat([x] * scale, 3)] * scale, 2)
    return rows.view(n, h * scale, w * scale, c)


class UpsampledConvolution(Convolution):
    """Nearest pixels, then the convolution."""

    def __init__(self, of: nn.Conv2d, scale: int) -> None:
        super().__init__(of)
        self.upsampling = scale

    @classmethod
    def of_upsample(cls, of: Upsample) -> UpsampledConvolution:
        return cls(of, of.scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(copied_pixels(x, self.upsampling))
