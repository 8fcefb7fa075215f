"""`torch.ops.mobilevd.linear` and `.out`, on packed weights: inference only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import check_out, check_vector, library, to_arrays

_ARGUMENTS = (
    "Tensor x, Tensor packed_weight, int out_features, Tensor? bias=None, Tensor? residual=None, "
    "str? activation=None"
)
library.define(f"linear({_ARGUMENTS}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
library.define(f"linear.out({_ARGUMENTS}, *, Tensor(a!) out) -> Tensor(a!)")

linear = torch.ops.mobilevd.linear.default
linear_out = torch.ops.mobilevd.linear.out


def _result_shape(
    x: Tensor,
    packed_weight: Tensor,
    out_features: int,
    bias: Tensor | None,
    residual: Tensor | None,
    activation: str | None,
) -> tuple[int, ...]:
    """The result's shape, by what torch can see without data; the binding checks the rest."""
    if x.dtype not in (torch.float32, torch.float16):
        raise TypeError(f"x: expected float32 or float16, got {x.dtype}")
    if x.dim() < 1:
        raise ValueError("x: expected [..., in_features], got a scalar")
    if activation not in (None, "silu", "geglu"):
        raise ValueError(f"activation: expected None, 'silu' or 'geglu', got {activation!r}")
    copies = 2 if activation == "geglu" else 1
    packed = (copies * -(-out_features // 16), x.shape[-1], 16)
    if tuple(packed_weight.shape) != packed:
        raise ValueError(
            f"packed_weight: expected the packed shape {packed}, got {tuple(packed_weight.shape)}"
        )
    check_vector("bias", bias, copies * out_features)
    shape = (*x.shape[:-1], out_features)
    if residual is not None and tuple(residual.shape) != shape:
        raise ValueError(f"residual: expected {shape}, got {tuple(residual.shape)}")
    return shape


@torch.library.impl(library, "linear.out", "CPU")
def _linear_out_cpu(
    x: Tensor,
    packed_weight: Tensor,
    out_features: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    activation: str | None = None,
    *,
    out: Tensor,
) -> Tensor:
    if out.dim() != x.dim() or out.shape[-1] != out_features:
        raise ValueError(f"out: expected [..., {out_features}], got {tuple(out.shape)}")
    arrays = to_arrays(x=x, packed_weight=packed_weight, out=out, bias=bias, residual=residual)
    _kernels.linear(**arrays, activation=activation)
    return out


@torch.library.impl(library, "linear", "CPU")
def _linear_cpu(x: Tensor, packed_weight: Tensor, out_features: int, *rest: Any) -> Tensor:
    out = x.new_empty((*x.shape[:-1], out_features))
    return _linear_out_cpu(x, packed_weight, out_features, *rest, out=out)


def _fake(
    x: Tensor,
    packed_weight: Tensor,
    out_features: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    activation: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    shape = _result_shape(x, packed_weight, out_features, bias, residual, activation)
    return x.new_empty(shape) if out is None else check_out(out, shape, x.dtype)


for _name in ("linear", "linear.out"):
    torch.library.register_fake(f"mobilevd::{_name}", _fake, lib=library)
