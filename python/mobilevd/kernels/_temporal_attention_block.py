from __future__ import annotations

from typing import Any, Generic, NamedTuple

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, aligned, check_kinds, empty


class PackedTemporalAttentionBlock(NamedTuple, Generic[Array]):
    """The weights of `temporal_attention_block` in the layout it reads, the same on every CPU.

    Plain arrays, in the order of the operator's arguments: registered as buffers of a module they
    are exported as constants of its program.
    """

    norm_weight: Array
    norm_bias: Array
    to_qkv: Array
    """Panels of 16 outputs, q, k and v of one head after the other: float32
    [ceil(num_heads * (2 d_qk + d_v) / 16), C, 16] or int8 [..., ceil(C / 8), 16, 8]."""
    to_qkv_scale: Array | None
    """float32, one an output, where the weights are int8."""
    to_out: Array
    """float32 [ceil(C / 16), num_heads * d_v, 16] or int8 [..., num_heads * d_v / 8, 16, 8]."""
    to_out_scale: Array | None
    out_bias: Array


def pack_temporal_attention_block(
    norm_weight: Array,
    norm_bias: Array,
    to_q: Array,
    to_k: Array,
    to_v: Array,
    to_out: Array,
    to_out_bias: Array,
    num_heads: int,
    precision: str = "float32",
) -> PackedTemporalAttentionBlock[Array]:
    """Pack a temporal block's `norm1` and `attn1` for `temporal_attention_block`, once.

    Parameters
    ----------
    norm_weight, norm_bias, to_out_bias : [C], float32
    to_q, to_k : [num_heads * d_qk, C], float32, C-contiguous, as torch.nn.Linear has them
    to_v : [num_heads * d_v, C]
    to_out : [C, num_heads * d_v]
    precision : "float32", or "int8"
        int8: a quarter of the size, quantised symmetrically per output; activations are quantised
        per row on the fly. LayerNorm, attention and residual stay float32.

    Returns
    -------
    New arrays, of numpy or torch as `to_q` is; the three vectors are not copied.

    Raises
    ------
    TypeError
        Neither numpy arrays nor CPU tensors, or a dtype other than float32.
    ValueError
        Shapes that do not fit, an array that is not contiguous, an unknown precision; for int8
        also a weight that is NaN or Inf.
    """
    if precision not in ("float32", "int8"):
        raise ValueError(f"precision: expected 'float32' or 'int8', got {precision!r}")
    int8 = precision == "int8"
    weights: dict[str, Any] = {"to_q": to_q, "to_k": to_k, "to_v": to_v, "to_out": to_out}
    check_kinds("to_q", to_q, {"to_k": to_k, "to_v": to_v, "to_out": to_out})
    if isinstance(to_q, np.ndarray):
        packed = _kernels.pack_temporal_attention_block(**weights, num_heads=num_heads, int8=int8)
        arrays: Any = [None if x is None else aligned(x) for x in packed]
    else:
        import torch

        from mobilevd.kernels.torch_ops.library import to_arrays

        packed = _kernels.pack_temporal_attention_block(
            **to_arrays(**weights), num_heads=num_heads, int8=int8
        )
        # Cloned, for torch aligns its memory to cache lines and numpy does not.
        arrays = [None if x is None else torch.from_numpy(x).clone() for x in packed]
    to_qkv, to_qkv_scale, out, out_scale = arrays
    return PackedTemporalAttentionBlock(
        norm_weight, norm_bias, to_qkv, to_qkv_scale, out, out_scale, to_out_bias
    )


def temporal_attention_block(
    x: Array,
    weights: PackedTemporalAttentionBlock[Array],
    num_heads: int,
    scale: float | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """A video UNet's temporal self-attention with what surrounds it (arXiv 2311.15127, section 3).

    `out = x + to_out(temporal_attention(to_q(y), to_k(y), to_v(y)))` with `y = LayerNorm(x)`,
    fused over tiles of positions: q, k and v never reach memory, and the scratch is about 1 MB a
    thread. For inference: there are no gradients.

    Parameters
    ----------
    x : [B, F, S, C], float32, C-contiguous
        F frames (1..32), S positions.
    weights : what `pack_temporal_attention_block` gave
    scale : d_qk ** -0.5 when None; with merged funnels, give that of the original heads
    eps : of the LayerNorm, positive
    out : like x, may be x itself, else must not overlap it; a new array when None

    Returns
    -------
    `out`.

    Raises
    ------
    TypeError
        Neither numpy arrays nor CPU tensors, or a dtype other than float32.
    ValueError
        Shapes that do not fit, weights packed for other heads, an array that is not contiguous,
        partly overlapping `out`.
    """
    check_kinds("x", x, **weights._asdict(), out=out)
    if isinstance(x, np.ndarray):
        if out is None:
            out = empty(x.shape, x.dtype)
        _kernels.temporal_attention_block(x, *weights, out, num_heads, scale, eps)
        return out
    from mobilevd.kernels import torch_ops

    if out is None:
        return torch_ops.temporal_attention_block(x, *weights, num_heads, scale, eps)
    return torch_ops.temporal_attention_block_out(x, *weights, num_heads, scale, eps, out=out)
