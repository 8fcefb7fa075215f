from __future__ import annotations

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, check_kinds, empty


def spatial_attention(
    q: Array,
    k: Array,
    v: Array,
    num_heads: int,
    scale: float | None = None,
    out: Array | None = None,
) -> Array:
    """Attention over the tokens of each picture, the scores never in memory (arXiv 2205.14135).

    `out[n, :, h] = softmax(scale * q[n, :, h] @ k[n, :, h].T) @ v[n, :, h]`, in float32.

    Parameters
    ----------
    q : [N, S, num_heads * d_qk], float32 or float16, C-contiguous
        N pictures (a clip's frames), S = height * width tokens; d_qk 8..128 in steps of 8.
    k : [N, S_k, num_heads * d_qk], of the same dtype; S_k = S in self-attention
    v : [N, S_k, num_heads * d_v]; d_v as d_qk
    scale : d_qk ** -0.5 when None
    out : [N, S, num_heads * d_v], must not overlap the others; a new array when None

    Returns
    -------
    `out`. Tensors are differentiable unless `out` is given.

    Raises
    ------
    TypeError, ValueError
        As temporal_attention.
    """
    check_kinds("q", q, {"k": k, "v": v}, out=out)
    if isinstance(q, np.ndarray):
        if out is None:
            out = empty((*q.shape[:-1], *v.shape[-1:]), q.dtype)
        _kernels.spatial_attention(q, k, v, out, num_heads, scale)
        return out
    from mobilevd.kernels import torch_ops

    if out is None:
        return torch_ops.spatial_attention(q, k, v, num_heads, scale)
    return torch_ops.spatial_attention_out(q, k, v, num_heads, scale, out=out)
