"""`torch.ops.mobilevd.conv2d_3x3_int8`, `temporal_conv_int8`, on packed weights: inference only."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.conv import check_around, result_shape
from mobilevd.kernels.torch_ops.library import check_int8, check_out, library, to_arrays

_ARGUMENTS = (
    "Tensor x, Tensor weight, Tensor scales, int out_channels, float scale, int zero_point, "
    "Tensor? bias=None, Tensor? residual=None, str? activation=None"
)
library.define(
    f"conv2d_3x3_int8({_ARGUMENTS}, int stride=1) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,)
)
library.define(f"conv2d_3x3_int8.out({_ARGUMENTS}, int stride=1, *, Tensor(a!) out) -> Tensor(a!)")
library.define(f"temporal_conv_int8({_ARGUMENTS}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
library.define(f"temporal_conv_int8.out({_ARGUMENTS}, *, Tensor(a!) out) -> Tensor(a!)")

conv2d_3x3_int8 = torch.ops.mobilevd.conv2d_3x3_int8.default
conv2d_3x3_int8_out = torch.ops.mobilevd.conv2d_3x3_int8.out
temporal_conv_int8 = torch.ops.mobilevd.temporal_conv_int8.default
temporal_conv_int8_out = torch.ops.mobilevd.temporal_conv_int8.out


_MOST_CHANNELS = 8192


def packed_int8_shape(out_channels: int, taps: int, in_channels: int) -> tuple[int, ...]:
    """Of what ``pack_conv_int8`` makes."""
    return (-(-out_channels // 16), taps, -(-in_channels // 8), 16, 8)


def _register(name: str, taps: int) -> None:
    """`stride` is conv2d_3x3_int8's alone."""

    def cpu_out(
        x: Tensor,
        weight: Tensor,
        scales: Tensor,
        out_channels: int,
        scale: float,
        zero_point: int,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
        activation: str | None = None,
        *stride: int,
        out: Tensor,
    ) -> Tensor:
        arrays = to_arrays(x=x, weight=weight, scales=scales, out=out, bias=bias, residual=residual)
        options = dict(zip(("stride",), stride, strict=False))
        getattr(_kernels, name)(
            **arrays,
            out_channels=out_channels,
            scale=scale,
            zero_point=zero_point,
            activation=activation,
            **options,
        )
        return out

    def cpu(x: Tensor, weight: Tensor, scales: Tensor, out_channels: int, *rest: Any) -> Tensor:
        stride = rest[5] if len(rest) > 5 else 1
        out = torch.empty(result_shape(x, out_channels, stride), dtype=x.dtype)
        return cpu_out(x, weight, scales, out_channels, *rest, out=out)

    def fake(
        x: Tensor,
        weight: Tensor,
        scales: Tensor,
        out_channels: int,
        scale: float,
        zero_point: int,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
        activation: str | None = None,
        stride: int = 1,
        *,
        out: Tensor | None = None,
    ) -> Tensor:
        shape = result_shape(x, out_channels, stride)
        if x.dtype != torch.float32:
            raise TypeError(f"x: expected float32, got {x.dtype}")
        check_around(x, out_channels, bias, residual, activation, shape)
        check_int8(weight, packed_int8_shape(out_channels, taps, x.shape[3]), scales)
        if x.shape[3] > _MOST_CHANNELS:
            raise ValueError(f"in_channels: expected at most {_MOST_CHANNELS}, got {x.shape[3]}")
        if not (-128 <= zero_point <= 127 and 2.0**-100 <= scale < math.inf):
            raise ValueError(
                "scale must be finite and at least 2^-100, zero_point -128..127, got "
                f"{scale} and {zero_point}"
            )
        return x.new_empty(shape) if out is None else check_out(out, shape, x.dtype)

    library.impl(name, cpu, "CPU")
    library.impl(f"{name}.out", cpu_out, "CPU")
    torch.library.register_fake(f"mobilevd::{name}", fake, lib=library)
    torch.library.register_fake(f"mobilevd::{name}.out", fake, lib=library)


_register("conv2d_3x3_int8", taps=9)
_register("temporal_conv_int8", taps=3)
