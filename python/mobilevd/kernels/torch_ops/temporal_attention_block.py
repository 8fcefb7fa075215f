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


def _check(x: Tensor, num_heads: int, **weights: Tensor | None) -> None:
    """What torch can see without data; the binding checks the rest."""
    for name, tensor in (("x", x), *weights.items()):
        if tensor is not None and tensor.dtype != torch.float32:
            raise TypeError(f"{name}: expected float32, got {tensor.dtype}")
    if x.dim() != 4:
        raise ValueError(
            "x: expected 4 dimensions [batch, frames, positions, channels], got "
            f"{tuple(x.shape)}"
        )
    if not 1 <= x.shape[1] <= 32:
        raise ValueError(f"x: expected 1 to 32 frames, got {tuple(x.shape)}")
    if num_heads < 1:
        raise ValueError(f"num_heads: expected at least 1, got {num_heads}")
    channels = x.shape[3]
    to_qkv, to_out = weights["to_qkv"], weights["to_out"]
    assert to_qkv is not None
    assert to_out is not None
    if to_qkv.dim() != 3 or to_qkv.shape[1:] != (channels, 16):
        raise ValueError(
            f"to_qkv: expected [panels, {channels}, 16], packed for the channels of x, got "
            f"{tuple(to_qkv.shape)}"
        )
    if to_out.dim() != 3 or to_out.shape[::2] != ((channels + 15) // 16, 16):
        raise ValueError(
            f"to_out: expected [{(channels + 15) // 16}, heads * head_dim, 16], packed for the "
            f"channels of x, got {tuple(to_out.shape)}"
        )


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
    _check(x, num_heads, norm_weight=norm_weight, norm_bias=norm_bias, to_qkv=to_qkv,
           to_out=to_out, out_bias=out_bias)  # fmt: skip
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
    _check(x, num_heads, norm_weight=norm_weight, norm_bias=norm_bias, to_qkv=to_qkv,
           to_out=to_out, out_bias=out_bias)  # fmt: skip
    if out.shape != x.shape or out.dtype != x.dtype:
        raise ValueError(f"out: expected the shape and dtype of x, {tuple(x.shape)} {x.dtype}")
    return out


# Under bfloat16 autocast the input arrives as bfloat16, which the kernel does not store.
torch.library.register_autocast(
    "mobilevd::temporal_attention_block", "cpu", torch.float32, lib=library
)
