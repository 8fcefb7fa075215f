"""`torch.ops.mobilevd.conv2d_3x3` and `temporal_conv`, on packed weights: inference only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import (
    check_out,
    check_packed,
    check_vector,
    library,
    to_arrays,
)


def result_shape(x: Tensor, out_channels: int, stride: int) -> tuple[int, ...]:
    """Of a convolution with padding 1; ValueError where there is none."""
    if x.dim() != 4:
        raise ValueError(f"x: expected 4 dimensions, channels last, got {tuple(x.shape)}")
    if stride not in (1, 2):
        raise ValueError(f"stride: expected 1 or 2, got {stride}")
    return (x.shape[0], -(-x.shape[1] // stride), -(-x.shape[2] // stride), out_channels)


def packed_shape(out_channels: int, taps: int, in_channels: int) -> tuple[int, ...]:
    """Of what ``pack_conv_weight`` makes."""
    return (-(-out_channels // 16), taps, in_channels, 16)


def check_around(
    x: Tensor,
    out_channels: int,
    bias: Tensor | None,
    residual: Tensor | None,
    activation: str | None,
    result: tuple[int, ...],
) -> None:
    """What all convolutions take beside the weight and x's own dtype."""
    if out_channels < 1:
        raise ValueError(f"out_channels: expected at least 1, got {out_channels}")
    check_vector("bias", bias, out_channels)
    if residual is not None and tuple(residual.shape) != result:
        raise ValueError(f"residual: expected the shape {result}, got {tuple(residual.shape)}")
    if residual is not None and residual.dtype != x.dtype:
        raise TypeError(f"residual: expected the dtype of x, {x.dtype}, got {residual.dtype}")
    if activation not in (None, "silu", "relu"):
        raise ValueError(f"activation: expected None, 'silu' or 'relu', got {activation!r}")


_ARGUMENTS = (
    "Tensor x, Tensor weight, int out_channels, Tensor? bias=None, Tensor? residual=None, "
    "str? activation=None"
)
library.define(
    f"conv2d_3x3({_ARGUMENTS}, int stride=1) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,)
)
library.define(f"conv2d_3x3.out({_ARGUMENTS}, int stride=1, *, Tensor(a!) out) -> Tensor(a!)")
library.define(f"temporal_conv({_ARGUMENTS}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
library.define(f"temporal_conv.out({_ARGUMENTS}, *, Tensor(a!) out) -> Tensor(a!)")

conv2d_3x3 = torch.ops.mobilevd.conv2d_3x3.default
conv2d_3x3_out = torch.ops.mobilevd.conv2d_3x3.out
temporal_conv = torch.ops.mobilevd.temporal_conv.default
temporal_conv_out = torch.ops.mobilevd.temporal_conv.out


def _register(name: str, taps: int) -> None:
    """`stride` is conv2d_3x3's alone."""

    def cpu_out(
        x: Tensor,
        weight: Tensor,
        out_channels: int,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
        activation: str | None = None,
        *stride: int,
        out: Tensor,
    ) -> Tensor:
        arrays = to_arrays(x=x, weight=weight, out=out, bias=bias, residual=residual)
        options = dict(zip(("stride",), stride, strict=False))
        getattr(_kernels, name)(
            **arrays, out_channels=out_channels, activation=activation, **options
        )
        return out

    def cpu(x: Tensor, weight: Tensor, out_channels: int, *rest: Any) -> Tensor:
        stride = rest[3] if len(rest) > 3 else 1
        out = torch.empty(result_shape(x, out_channels, stride), dtype=x.dtype)
        return cpu_out(x, weight, out_channels, *rest, out=out)

    def fake(
        x: Tensor,
        weight: Tensor,
        out_channels: int,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
        activation: str | None = None,
        stride: int = 1,
        *,
        out: Tensor | None = None,
    ) -> Tensor:
        shape = result_shape(x, out_channels, stride)
        check_around(x, out_channels, bias, residual, activation, shape)
        if x.dtype not in (torch.float32, torch.float16):
            raise TypeError(f"x: expected float32 or float16, got {x.dtype}")
        check_packed(weight, packed_shape(out_channels, taps, x.shape[3]))
        return x.new_empty(shape) if out is None else check_out(out, shape, x.dtype)

    library.impl(name, cpu, "CPU")
    library.impl(f"{name}.out", cpu_out, "CPU")
    torch.library.register_fake(f"mobilevd::{name}", fake, lib=library)
    torch.library.register_fake(f"mobilevd::{name}.out", fake, lib=library)


_register("conv2d_3x3", taps=9)
_register("temporal_conv", taps=3)
