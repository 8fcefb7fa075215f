"""`torch.ops.mobilevd.gemm_int8` and `.out`, on packed weights: inference only."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import (
    check_int8,
    check_out,
    check_vector,
    library,
    to_arrays,
)

_ARGUMENTS = "Tensor x, Tensor weight, Tensor scales, int out_features, Tensor? bias=None"
library.define(f"gemm_int8({_ARGUMENTS}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
library.define(f"gemm_int8.out({_ARGUMENTS}, *, Tensor(a!) out) -> Tensor(a!)")

gemm_int8 = torch.ops.mobilevd.gemm_int8.default
gemm_int8_out = torch.ops.mobilevd.gemm_int8.out


@torch.library.impl(library, "gemm_int8.out", "CPU")
def _gemm_int8_out_cpu(
    x: Tensor,
    weight: Tensor,
    scales: Tensor,
    out_features: int,
    bias: Tensor | None = None,
    *,
    out: Tensor,
) -> Tensor:
    if out.dim() != x.dim() or out.shape[-1] != out_features:
        raise ValueError(f"out: expected [..., {out_features}], got {tuple(out.shape)}")
    _kernels.gemm_int8(**to_arrays(x=x, weight=weight, scales=scales, out=out, bias=bias))
    return out


@torch.library.impl(library, "gemm_int8", "CPU")
def _gemm_int8_cpu(
    x: Tensor, weight: Tensor, scales: Tensor, out_features: int, bias: Tensor | None = None
) -> Tensor:
    out = x.new_empty((*x.shape[:-1], out_features))
    return _gemm_int8_out_cpu(x, weight, scales, out_features, bias, out=out)


def _fake(
    x: Tensor,
    weight: Tensor,
    scales: Tensor,
    out_features: int,
    bias: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    if x.dtype != torch.float32:
        raise TypeError(f"x: expected float32, got {x.dtype}")
    if x.dim() < 1 or not 1 <= x.shape[-1] <= 65536 or out_features < 1:
        raise ValueError(
            "x and out_features: expected [..., 1 to 65536 features] and at least 1, got "
            f"{tuple(x.shape)} and {out_features}"
        )
    check_int8(weight, (-(-out_features // 16), -(-x.shape[-1] // 8), 16, 8), scales)
    check_vector("bias", bias, out_features)
    shape = (*x.shape[:-1], out_features)
    return x.new_empty(shape) if out is None else check_out(out, shape, x.dtype)


for _name in ("gemm_int8", "gemm_int8.out"):
    torch.library.register_fake(f"mobilevd::{_name}", _fake, lib=library)
