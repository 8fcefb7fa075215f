"""`torch.ops.mobilevd.spatial_attention` and `.out`: gradients recompute in torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import library, to_arrays

HEAD_DIMS = range(8, 129, 8)

_ARGUMENTS = "Tensor q, Tensor k, Tensor v, int num_heads, float? scale=None"
library.define(f"spatial_attention({_ARGUMENTS}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
library.define(f"spatial_attention.out({_ARGUMENTS}, *, Tensor(a!) out) -> Tensor(a!)")

spatial_attention = torch.ops.mobilevd.spatial_attention.default
spatial_attention_out = torch.ops.mobilevd.spatial_attention.out


@torch.library.impl(library, "spatial_attention.out", "CPU")
def _out_cpu(
    q: Tensor, k: Tensor, v: Tensor, num_heads: int, scale: float | None = None, *, out: Tensor
) -> Tensor:
    _kernels.spatial_attention(
        **to_arrays(q=q, k=k, v=v, out=out), num_heads=num_heads, scale=scale
    )
    return out


@torch.library.impl(library, "spatial_attention", "CPU")
def _cpu(q: Tensor, k: Tensor, v: Tensor, num_heads: int, scale: float | None = None) -> Tensor:
    out = torch.empty((*q.shape[:-1], *v.shape[-1:]), dtype=q.dtype)
    return _out_cpu(q, k, v, num_heads, scale, out=out)


def _fake(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    scale: float | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """What torch can see without data; the binding checks the rest."""
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.dtype not in (torch.float32, torch.float16):
            raise TypeError(f"{name}: expected float32 or float16, got {x.dtype}")
        if x.dtype != q.dtype:
            raise TypeError(f"{name}: expected the dtype of q, {q.dtype}, got {x.dtype}")
        if x.dim() != 3:
            raise ValueError(
                f"{name}: expected 3 dimensions [batch, tokens, heads * head_dim], got "
                f"{tuple(x.shape)}"
            )
        if (
            num_heads < 1
            or x.shape[2] % num_heads
            or x.shape[2] // num_heads not in range(8, 129, 8)
        ):
            raise ValueError(
                f"{name}: expected a last dimension of num_heads = {num_heads} times a head_dim "
                f"of 8..128 in steps of 8, got {x.shape[2]}"
            )
    if k.shape[0] != q.shape[0] or k.shape[2] != q.shape[2] or v.shape[:2] != k.shape[:2]:
        raise ValueError(
            f"k, v: expected [N, S_k, C] and [N, S_k, C_v] for q {tuple(q.shape)}, got "
            f"{tuple(k.shape)} and {tuple(v.shape)}"
        )
    shape = (*q.shape[:2], v.shape[2])
    if out is None:
        return q.new_empty(shape)
    if tuple(out.shape) != shape or out.dtype != q.dtype:
        raise ValueError(f"out: expected {shape} {q.dtype}, got {tuple(out.shape)} {out.dtype}")
    return out


for _name in ("spatial_attention", "spatial_attention.out"):
    torch.library.register_fake(f"mobilevd::{_name}", _fake, lib=library)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    q, k, v, ctx.num_heads, ctx.scale = inputs
    ctx.save_for_backward(q, k, v)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of torch's own attention in float32, which never holds the scores either."""
    needed = [i for i in range(3) if ctx.needs_input_grad[i]]
    with torch.enable_grad():
        given = [t.detach().requires_grad_(i in needed) for i, t in enumerate(ctx.saved_tensors)]
        q, k, v = (t.float().unflatten(2, (ctx.num_heads, -1)).transpose(1, 2) for t in given)
        out = scaled_dot_product_attention(q, k, v, scale=ctx.scale).transpose(1, 2).flatten(2)
        grads = torch.autograd.grad(out, [given[i] for i in needed], grad.float())
    result: list[Tensor | None] = [None] * 5
    for i, g in zip(needed, grads, strict=True):
        result[i] = g
    return tuple(result)


torch.library.register_autograd(
    "mobilevd::spatial_attention", _backward, setup_context=_save_for_backward, lib=library
)
torch.library.register_autocast("mobilevd::spatial_attention", "cpu", torch.float32, lib=library)
