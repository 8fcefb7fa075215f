"""`torch.ops.mobilevd.temporal_attention_block` and `.out`, on packed weights: inference only."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilevd import _kernels
from mobilevd.kernels.torch_ops.library import library, to_arrays

_ARGUMENTS = (
    "Tensor x, Tensor norm_weight, Tensor norm_bias, Tensor to_qkv, Tensor? to_qkv_scale, "
    "Tensor to_out, Tensor? to_out_scale, Tensor out_bias, int num_heads, float? scale=None, "
    "float eps=1e-05"
)
library.define(
    f"temporal_attention_block({_ARGUMENTS}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,)
)
library.define(f"temporal_attention_block.out({_ARGUMENTS}, *, Tensor(a!) out) -> Tensor(a!)")

temporal_attention_block = torch.ops.mobilevd.temporal_attention_block.default
temporal_attention_block_out = torch.ops.mobilevd.temporal_attention_block.out


def _check(
    x: Tensor,
    vectors: tuple[Tensor, Tensor, Tensor],
    to_qkv: Tensor,
    to_out: Tensor,
    scales: tuple[Tensor | None, Tensor | None],
    num_heads: int,
) -> None:
    """What torch can see without data; the binding checks the rest."""
    names = ("x", "norm_weight", "norm_bias", "out_bias")
    for name, tensor in zip(names, (x, *vectors), strict=True):
        if tensor.dtype != torch.float32:
            raise TypeError(f"{name}: expected float32, got {tensor.dtype}")
    if x.dim() != 4:
        raise ValueError(
            f"x: expected 4 dimensions [batch, frames, positions, channels], got {tuple(x.shape)}"
        )
    if not 1 <= x.shape[1] <= 32:
        raise ValueError(f"x: expected 1 to 32 frames, got {tuple(x.shape)}")
    if num_heads < 1:
        raise ValueError(f"num_heads: expected at least 1, got {num_heads}")
    channels = x.shape[3]
    int8 = to_qkv.dtype == torch.int8
    for name, weight in (("to_qkv", to_qkv), ("to_out", to_out)):
        if weight.dtype != (torch.int8 if int8 else torch.float32):
            raise TypeError(f"{name}: expected float32 or int8, as to_qkv, got {weight.dtype}")
        if weight.dim() != (4 if int8 else 3):
            raise ValueError(f"{name}: these weights are not packed: {tuple(weight.shape)}")
    if to_qkv.shape[1] != ((channels + 7) // 8 if int8 else channels):
        raise ValueError(
            f"to_qkv: expected weights packed for {channels} channels, got {tuple(to_qkv.shape)}"
        )
    if to_out.shape[0] != (channels + 15) // 16:
        raise ValueError(
            f"to_out: expected weights packed for {channels} channels, got {tuple(to_out.shape)}"
        )
    if any((scale is not None) != int8 for scale in scales):
        raise ValueError("int8 weights need their scales, float32 weights have none")


@torch.library.impl(library, "temporal_attention_block.out", "CPU")
def _temporal_attention_block_out_cpu(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    to_qkv: Tensor,
    to_qkv_scale: Tensor | None,
    to_out: Tensor,
    to_out_scale: Tensor | None,
    out_bias: Tensor,
    num_heads: int,
    scale: float | None = None,
    eps: float = 1e-5,
    *,
    out: Tensor,
) -> Tensor:
    arrays = to_arrays(
        x=x,
        norm_weight=norm_weight,
        norm_bias=norm_bias,
        to_qkv=to_qkv,
        to_out=to_out,
        out_bias=out_bias,
        out=out,
    )
    scales = {"to_qkv_scale": to_qkv_scale, "to_out_scale": to_out_scale}
    present = to_arrays(**{name: x for name, x in scales.items() if x is not None})
    _kernels.temporal_attention_block(
        **arrays,
        to_qkv_scale=present.get("to_qkv_scale"),
        to_out_scale=present.get("to_out_scale"),
        num_heads=num_heads,
        scale=scale,
        eps=eps,
    )
    return out


@torch.library.impl(library, "temporal_attention_block", "CPU")
def _temporal_attention_block_cpu(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    to_qkv: Tensor,
    to_qkv_scale: Tensor | None,
    to_out: Tensor,
    to_out_scale: Tensor | None,
    out_bias: Tensor,
    num_heads: int,
    scale: float | None = None,
    eps: float = 1e-5,
) -> Tensor:
    return _temporal_attention_block_out_cpu(
        x,
        norm_weight,
        norm_bias,
        to_qkv,
        to_qkv_scale,
        to_out,
        to_out_scale,
        out_bias,
        num_heads,
        scale,
        eps,
        out=torch.empty(x.shape, dtype=x.dtype),
    )


@torch.library.register_fake("mobilevd::temporal_attention_block", lib=library)
def _temporal_attention_block_fake(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    to_qkv: Tensor,
    to_qkv_scale: Tensor | None,
    to_out: Tensor,
    to_out_scale: Tensor | None,
    out_bias: Tensor,
    num_heads: int,
    scale: float | None = None,
    eps: float = 1e-5,
) -> Tensor:
    vectors = (norm_weight, norm_bias, out_bias)
    _check(x, vectors, to_qkv, to_out, (to_qkv_scale, to_out_scale), num_heads)
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.register_fake("mobilevd::temporal_attention_block.out", lib=library)
def _temporal_attention_block_out_fake(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    to_qkv: Tensor,
    to_qkv_scale: Tensor | None,
    to_out: Tensor,
    to_out_scale: Tensor | None,
    out_bias: Tensor,
    num_heads: int,
    scale: float | None = None,
    eps: float = 1e-5,
    *,
    out: Tensor,
) -> Tensor:
    vectors = (norm_weight, norm_bias, out_bias)
    _check(x, vectors, to_qkv, to_out, (to_qkv_scale, to_out_scale), num_heads)
    if out.shape != x.shape or out.dtype != x.dtype:
        raise ValueError(f"out: expected the shape and dtype of x, {tuple(x.shape)} {x.dtype}")
    return out


# Under bfloat16 autocast the input arrives as bfloat16, which the kernel does not store.
torch.library.register_autocast(
    "mobilevd::temporal_attention_block", "cpu", torch.float32, lib=library
)
