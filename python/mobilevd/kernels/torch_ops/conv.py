"""`torch.ops.mobilevd.conv2d_3x3` and `temporal_conv`, on packed weights: inference only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import library, to_arrays


def _result_shape(x: Tensor, out_channels: int, stride: int) -> tuple[int, ...]:
    return (x.shape[0], -(-x.shape[1] // stride), -(-x.shape[2] // stride), out_channels)


def _check(x: Tensor, weight: Tensor, out_channels: int, taps: int) -> None:
    """What torch can see without data; the binding checks the rest."""
    if x.dtype not in (torch.float32, torch.float16):
        raise TypeError(f"x: expected float32 or float16, got {x.dtype}")
    if x.dim() != 4:
        raise ValueError(f"x: expected 4 dimensions, channels last, got {tuple(x.shape)}")
    packed = (-(-out_channels // 16), taps, x.shape[3], 16)
    if tuple(weight.shape) != packed:
        raise ValueError(f"weight: expected the packed shape {packed}, got {tuple(weight.shape)}")


def _run(
    name: str,
    x: Tensor,
    weight: Tensor,
    out_channels: int,
    bias: Tensor | None,
    residual: Tensor | None,
    silu: bool,
    out: Tensor,
    **stride: int,
) -> Tensor:
    given = {"x": x, "weight": weight, "out": out, "bias": bias, "residual": residual}
    arrays = to_arrays(**{label: t for label, t in given.items() if t is not None})
    getattr(_kernels, name)(**arrays, out_channels=out_channels, silu=silu, **stride)
    return out


_ARGUMENTS = (
    "Tensor x, Tensor weight, int out_channels, Tensor? bias=None, Tensor? residual=None, "
    "bool silu=False"
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


@torch.library.impl(library, "conv2d_3x3.out", "CPU")
def _conv2d_3x3_out_cpu(
    x: Tensor,
    weight: Tensor,
    out_channels: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    silu: bool = False,
    stride: int = 1,
    *,
    out: Tensor,
) -> Tensor:
    return _run("conv2d_3x3", x, weight, out_channels, bias, residual, silu, out, stride=stride)


@torch.library.impl(library, "conv2d_3x3", "CPU")
def _conv2d_3x3_cpu(
    x: Tensor,
    weight: Tensor,
    out_channels: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    silu: bool = False,
    stride: int = 1,
) -> Tensor:
    out = torch.empty(_result_shape(x, out_channels, stride), dtype=x.dtype)
    return _run("conv2d_3x3", x, weight, out_channels, bias, residual, silu, out, stride=stride)


@torch.library.impl(library, "temporal_conv.out", "CPU")
def _temporal_conv_out_cpu(
    x: Tensor,
    weight: Tensor,
    out_channels: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    silu: bool = False,
    *,
    out: Tensor,
) -> Tensor:
    return _run("temporal_conv", x, weight, out_channels, bias, residual, silu, out)


@torch.library.impl(library, "temporal_conv", "CPU")
def _temporal_conv_cpu(
    x: Tensor,
    weight: Tensor,
    out_channels: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    silu: bool = False,
) -> Tensor:
    out = torch.empty(_result_shape(x, out_channels, 1), dtype=x.dtype)
    return _run("temporal_conv", x, weight, out_channels, bias, residual, silu, out)


def _fake(taps: int) -> Any:
    def result(
        x: Tensor,
        weight: Tensor,
        out_channels: int,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
        silu: bool = False,
        stride: int = 1,
        *,
        out: Tensor | None = None,
    ) -> Tensor:
        _check(x, weight, out_channels, taps)
        shape = _result_shape(x, out_channels, stride)
        if out is None:
            return x.new_empty(shape)
        if tuple(out.shape) != shape or out.dtype != x.dtype:
            raise ValueError(f"out: expected {shape} {x.dtype}, got {tuple(out.shape)} {out.dtype}")
        return out

    return result


for _name, _taps in (("conv2d_3x3", 9), ("temporal_conv", 3)):
    torch.library.register_fake(f"mobilevd::{_name}", _fake(_taps), lib=library)
    torch.library.register_fake(f"mobilevd::{_name}.out", _fake(_taps), lib=library)
