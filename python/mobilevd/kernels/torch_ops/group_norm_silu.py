"""`torch.ops.mobilevd.group_norm_silu` and `.out`: gradients recompute in torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import (
    check_out,
    check_vector,
    library,
    recomputed_gradients,
    to_arrays,
)

_ARGUMENTS = (
    "Tensor x, Tensor? weight, Tensor? bias, int num_groups, float eps=1e-05, bool silu=True, "
    "bool channels_last=False"
)
library.define(f"group_norm_silu({_ARGUMENTS}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
library.define(f"group_norm_silu.out({_ARGUMENTS}, *, Tensor(a!) out) -> Tensor(a!)")

group_norm_silu = torch.ops.mobilevd.group_norm_silu.default
group_norm_silu_out = torch.ops.mobilevd.group_norm_silu.out


@torch.library.impl(library, "group_norm_silu.out", "CPU")
def _out_cpu(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    eps: float = 1e-5,
    silu: bool = True,
    channels_last: bool = False,
    *,
    out: Tensor,
) -> Tensor:
    _kernels.group_norm_silu(
        **to_arrays(x=x, weight=weight, bias=bias, out=out),
        num_groups=num_groups,
        eps=eps,
        silu=silu,
        channels_last=channels_last,
    )
    return out


@torch.library.impl(library, "group_norm_silu", "CPU")
def _cpu(x: Tensor, *arguments: Any) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype)
    return _out_cpu(x, *arguments, out=out)


def _check(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    channels_last: bool,
) -> None:
    """What torch can see without data; the binding checks the rest."""
    if x.dtype not in (torch.float32, torch.float16):
        raise TypeError(f"x: expected float32 or float16, got {x.dtype}")
    if x.dim() < 2:
        raise ValueError(f"x: expected [N, C, ...] or [N, ..., C], got {tuple(x.shape)}")
    channels = x.shape[-1 if channels_last else 1]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(
            f"num_groups: expected a divisor of the {channels} channels, got {num_groups}"
        )
    check_vector("weight", weight, channels, None)
    check_vector("bias", bias, channels, None)


def _fake(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    eps: float = 1e-5,
    silu: bool = True,
    channels_last: bool = False,
    *,
    out: Tensor | None = None,
) -> Tensor:
    _check(x, weight, bias, num_groups, channels_last)
    if out is None:
        return torch.empty_like(x, memory_format=torch.contiguous_format)
    return check_out(out, tuple(x.shape), x.dtype)


for _name in ("group_norm_silu", "group_norm_silu.out"):
    torch.library.register_fake(f"mobilevd::{_name}", _fake, lib=library)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *ctx.constants = inputs
    ctx.save_for_backward(x, weight, bias)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """Gradients of the same function written in differentiable torch, in float32."""
    num_groups, eps, silu, channels_last = ctx.constants

    def function(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        x = x.movedim(-1, 1) if channels_last else x
        out = functional.group_norm(x, num_groups, weight, bias, eps)
        out = functional.silu(out) if silu else out
        return out.movedim(1, -1) if channels_last else out

    return recomputed_gradients(ctx, function, grad)


torch.library.register_autograd(
    "mobilevd::group_norm_silu", _backward, setup_context=_save_for_backward, lib=library
)
torch.library.register_autocast("mobilevd::group_norm_silu", "cpu", torch.float32, lib=library)
