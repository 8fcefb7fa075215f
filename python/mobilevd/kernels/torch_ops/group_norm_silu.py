"""`torch.ops.mobilevd.group_norm_silu` and `.out`: gradients recompute in torch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import library, to_arrays

_SCHEMA = (
    "Tensor x, Tensor? weight, Tensor? bias, int num_groups, float eps, bool silu=True, "
    "bool channels_last=False"
)
library.define(
    f"group_norm_silu({_SCHEMA}) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
# For ExecuTorch's memory planning; models call the functional one (see temporal_attention.py).
library.define(f"group_norm_silu.out({_SCHEMA}, *, Tensor(a!) out) -> Tensor(a!)")

group_norm_silu = torch.ops.mobilevd.group_norm_silu.default
group_norm_silu_out = torch.ops.mobilevd.group_norm_silu.out


def _check(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    eps: float,
    channels_last: bool,
) -> None:
    """What torch can see without data; the binding checks the rest."""
    if x.dtype not in (torch.float32, torch.float16):
        raise TypeError(f"x: expected float32 or float16, got {x.dtype}")
    if x.dim() < 2:
        layout = "batch, ..., channels" if channels_last else "batch, channels, ..."
        raise ValueError(f"x: expected at least 2 dimensions [{layout}], got {tuple(x.shape)}")
    channels = x.shape[-1 if channels_last else 1]
    if num_groups < 1 or channels < 1 or channels % num_groups:
        raise ValueError(
            f"num_groups: expected a divisor of the {channels} channels of x, got {num_groups}"
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is None:
            continue
        if parameter.dtype not in (torch.float32, x.dtype):
            raise TypeError(
                f"{name}: expected the dtype of x, {x.dtype}, or float32, got {parameter.dtype}"
            )
        if parameter.shape != (channels,):
            raise ValueError(
                f"{name}: expected the {channels} channels of x, got {tuple(parameter.shape)}"
            )
    if weight is not None and bias is not None and weight.dtype != bias.dtype:
        raise TypeError(f"bias: expected the dtype of weight, {weight.dtype}, got {bias.dtype}")
    if not 0 < eps < math.inf:
        raise ValueError(f"eps: expected a positive number, got {eps}")


@torch.library.impl(library, "group_norm_silu.out", "CPU")
def _group_norm_silu_out_cpu(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    eps: float,
    silu: bool = True,
    channels_last: bool = False,
    *,
    out: Tensor,
) -> Tensor:
    given = {"x": x, "weight": weight, "bias": bias, "out": out}
    arrays = to_arrays(**{name: t for name, t in given.items() if t is not None})
    _kernels.group_norm_silu(
        arrays["x"],
        arrays.get("weight"),
        arrays.get("bias"),
        arrays["out"],
        num_groups,
        eps,
        silu,
        channels_last,
    )
    return out


@torch.library.impl(library, "group_norm_silu", "CPU")
def _group_norm_silu_cpu(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    eps: float,
    silu: bool = True,
    channels_last: bool = False,
) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype)
    return _group_norm_silu_out_cpu(x, weight, bias, num_groups, eps, silu, channels_last, out=out)


@torch.library.register_fake("mobilevd::group_norm_silu", lib=library)
def _group_norm_silu_fake(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    eps: float,
    silu: bool = True,
    channels_last: bool = False,
) -> Tensor:
    _check(x, weight, bias, num_groups, eps, channels_last)
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.register_fake("mobilevd::group_norm_silu.out", lib=library)
def _group_norm_silu_out_fake(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    eps: float,
    silu: bool = True,
    channels_last: bool = False,
    *,
    out: Tensor,
) -> Tensor:
    _check(x, weight, bias, num_groups, eps, channels_last)
    if out.shape != x.shape or out.dtype != x.dtype:
        raise ValueError(f"out: expected the shape and dtype of x, {tuple(x.shape)} {x.dtype}")
    return out


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.num_groups, ctx.eps, ctx.silu, ctx.channels_last = inputs
    ctx.save_for_backward(x, weight, bias)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """From x, weight and bias again, in float32: the kernel keeps no statistics. Written in
    differentiable torch, so that gradient penalties work, too."""
    x, weight, bias = ctx.saved_tensors

    channels = x.shape[-1 if ctx.channels_last else 1]
    positions = math.prod(x.shape[1:]) // channels

    def split(t: Tensor) -> Tensor:  # -> [N, G, C/G, positions]
        t = (
            t.float().reshape(x.shape[0], positions, channels).mT
            if ctx.channels_last
            else t.float()
        )
        return t.reshape(x.shape[0], ctx.num_groups, channels // ctx.num_groups, positions)

    def join(t: Tensor) -> Tensor:
        t = t.flatten(1, 2)
        return (t.mT if ctx.channels_last else t).reshape(x.shape).to(x.dtype)

    def per_channel(t: Tensor) -> Tensor:
        return t.float().view(1, ctx.num_groups, -1, 1)

    values, dy = split(x), split(grad)
    deviations = values - values.mean((2, 3), keepdim=True)
    rstd = torch.rsqrt(deviations.square().mean((2, 3), keepdim=True) + ctx.eps)
    normalised = deviations * rstd
    if ctx.silu:
        y = normalised if weight is None else normalised * per_channel(weight)
        y = y if bias is None else y + per_channel(bias)
        s = torch.sigmoid(y)
        dy = dy * (s * (1 + y * (1 - s)))
    dn = dy if weight is None else dy * per_channel(weight)
    mean_dn = dn.mean((2, 3), keepdim=True)
    mean_product = (dn * normalised).mean((2, 3), keepdim=True)
    dx = join((dn - mean_dn - normalised * mean_product) * rstd)
    dweight = dbias = None
    if weight is not None:
        dweight = (dy * normalised).sum((0, 3)).flatten().to(weight.dtype)
    if bias is not None:
        dbias = dy.sum((0, 3)).flatten().to(bias.dtype)
    return dx, dweight, dbias, None, None, None, None


torch.library.register_autograd(
    "mobilevd::group_norm_silu", _backward, setup_context=_save_for_backward, lib=library
)
# Under bfloat16 autocast the inputs arrive as bfloat16, which the kernel does not store.
torch.library.register_autocast("mobilevd::group_norm_silu", "cpu", torch.float32, lib=library)
