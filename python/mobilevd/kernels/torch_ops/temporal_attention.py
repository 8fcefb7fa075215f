"""`torch.ops.mobilevd.temporal_attention` and `.out`: gradients recompute in torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import check_out, library, to_arrays

MAX_FRAMES = 32
HEAD_DIMS = range(8, 129, 8)

library.define(
    "temporal_attention(Tensor q, Tensor k, Tensor v, int num_heads, float? scale=None) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
# The form ExecuTorch's memory planning asks for. torch cannot functionalize a custom operator that
# returns its argument, so models call the functional one.
library.define(
    "temporal_attention.out(Tensor q, Tensor k, Tensor v, int num_heads, float? scale=None, *, "
    "Tensor(a!) out) -> Tensor(a!)",
)

temporal_attention = torch.ops.mobilevd.temporal_attention.default
temporal_attention_out = torch.ops.mobilevd.temporal_attention.out


def _check(q: Tensor, k: Tensor, v: Tensor, num_heads: int) -> None:
    """What torch can see without data; the binding checks the rest."""
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.dtype not in (torch.float32, torch.float16):
            raise TypeError(f"{name}: expected float32 or float16, got {x.dtype}")
        if x.dtype != q.dtype:
            raise TypeError(f"{name}: expected the dtype of q, {q.dtype}, got {x.dtype}")
        if x.dim() != 4:
            raise ValueError(
                f"{name}: expected 4 dimensions [batch, frames, positions, heads * head_dim], "
                f"got {tuple(x.shape)}"
            )
    if k.shape != q.shape:
        raise ValueError(f"k: expected the shape of q, {tuple(q.shape)}, got {tuple(k.shape)}")
    if v.shape[:3] != q.shape[:3]:
        raise ValueError(
            f"v: expected batch, frames and positions of q, {tuple(q.shape)}, got {tuple(v.shape)}"
        )
    if num_heads < 1:
        raise ValueError(f"num_heads: expected at least 1, got {num_heads}")
    if not 1 <= q.shape[1] <= MAX_FRAMES:
        raise ValueError(f"q: expected 1 to {MAX_FRAMES} frames, got {tuple(q.shape)}")
    for name, x in (("q", q), ("v", v)):
        width = x.shape[3]
        if width % num_heads or width // num_heads not in HEAD_DIMS:
            raise ValueError(
                f"{name}: expected a last dimension of num_heads = {num_heads} times a head_dim "
                f"of 8..128 in steps of 8, got {width}"
            )


@torch.library.impl(library, "temporal_attention.out", "CPU")
def _temporal_attention_out_cpu(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    scale: float | None = None,
    *,
    out: Tensor,
) -> Tensor:
    arrays = to_arrays(q=q, k=k, v=v, out=out)
    _kernels.temporal_attention(**arrays, num_heads=num_heads, scale=scale)
    return out


@torch.library.impl(library, "temporal_attention", "CPU")
def _temporal_attention_cpu(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Tensor:
    return _temporal_attention_out_cpu(q, k, v, *rest, out=torch.empty(v.shape, dtype=v.dtype))


def _fake(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    scale: float | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    _check(q, k, v, num_heads)
    if out is None:
        return torch.empty_like(v, memory_format=torch.contiguous_format)
    return check_out(out, tuple(v.shape), v.dtype)


for _name in ("temporal_attention", "temporal_attention.out"):
    torch.library.register_fake(f"mobilevd::{_name}", _fake, lib=library)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    q, k, v, ctx.num_heads, ctx.scale = inputs
    ctx.save_for_backward(q, k, v)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
    """Gradients of softmax(scale q k^T) v from q, k, v again, in float32: the kernel keeps no
    weights. Written in differentiable torch, so that gradient penalties work, too."""
    heads = ctx.num_heads

    def split(x: Tensor) -> Tensor:  # [B, F, S, H*d] -> [B, S, H, F, d]
        return x.float().unflatten(3, (heads, -1)).permute(0, 2, 3, 1, 4)

    def join(x: Tensor, like: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2, 4).flatten(3).to(like.dtype)

    q, k, v = ctx.saved_tensors
    qh, kh, vh, gh = split(q), split(k), split(v), split(grad)
    scale = qh.shape[-1] ** -0.5 if ctx.scale is None else ctx.scale
    p = torch.softmax(scale * (qh @ kh.mT), dim=-1)
    dp = gh @ vh.mT
    ds = scale * p * (dp - (dp * p).sum(-1, keepdim=True))
    return join(ds @ kh, q), join(ds.mT @ qh, k), join(p.mT @ gh, v), None, None


torch.library.register_autograd(
    "mobilevd::temporal_attention", _backward, setup_context=_save_for_backward, lib=library
)
# Under bfloat16 autocast the inputs arrive as bfloat16, which the kernel does not store.
torch.library.register_autocast("mobilevd::temporal_attention", "cpu", torch.float32, lib=library)
