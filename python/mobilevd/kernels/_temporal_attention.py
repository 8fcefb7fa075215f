from __future__ import annotations

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, check_kinds, empty


def temporal_attention(
    q: Array,
    k: Array,
    v: Array,
    num_heads: int,
    scale: float | None = None,
    out: Array | None = None,
) -> Array:
    """Attention over the frames of each position, head by head (arXiv 2311.15127, section 3).

    `out[b, :, s, h] = softmax(scale * q[b, :, s, h] @ k[b, :, s, h].T) @ v[b, :, s, h]`, computed
    in float32 whatever the storage, in place: nothing is permuted or copied.

    Parameters
    ----------
    q, k : [B, F, S, num_heads * d_qk], float32 or float16, C-contiguous
        F frames (1..32), S positions; d_qk 8..128 in steps of 8.
    v : [B, F, S, num_heads * d_v], of the same dtype
    scale : d_qk ** -0.5 when None
    out : like v, must not overlap the others; a new array when None

    Returns
    -------
    `out`. Tensors are differentiable unless `out` is given.

    Raises
    ------
    TypeError
        Neither numpy arrays nor CPU tensors, or a dtype other than float32 and float16.
    ValueError
        Shapes that do not fit, an array that is not contiguous, overlapping `out`.
    """
    check_kinds("q", q, {"k": k, "v": v}, out=out)
    if isinstance(q, np.ndarray):
        if out is None:
            out = empty(v.shape, v.dtype)
        _kernels.temporal_attention(q, k, v, out, num_heads, scale)
        return out
    from mobilevd.kernels import torch_ops

    if out is None:
        return torch_ops.temporal_attention(q, k, v, num_heads, scale)
    return torch_ops.temporal_attention_out(q, k, v, num_heads, scale, out=out)
