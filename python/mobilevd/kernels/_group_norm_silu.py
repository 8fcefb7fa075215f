from __future__ import annotations

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, check_kinds, empty


def group_norm_silu(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    num_groups: int,
    eps: float = 1e-5,
    silu: bool = True,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Group normalisation (arXiv 1803.08494), then SiLU unless `silu` is False.

    Parameters
    ----------
    x : [N, C, ...], or [N, ..., C] with `channels_last`; float32 or float16, C-contiguous
        Statistics run over the C / num_groups channels and everything between: [B, F, S, C]
        with `channels_last` is the norm of temporal ResBlocks, [B * F, S, C] that of spatial ones.
    weight, bias : [C], float32, or both float16 where x is; None for 1 and 0
    out : like x; may be x, must not overlap it otherwise

    Returns
    -------
    `out`. Tensors are differentiable unless `out` is given.

    Raises
    ------
    TypeError, ValueError
        As temporal_attention.
    """
    arguments = (num_groups, eps, silu, channels_last)
    check_kinds("x", x, weight=weight, bias=bias, out=out)
    if isinstance(x, np.ndarray):
        if out is None:
            out = empty(x.shape, x.dtype)
        _kernels.group_norm_silu(x, weight, bias, out, *arguments)
        return out
    from mobilevd.kernels import torch_ops

    if out is None:
        return torch_ops.group_norm_silu(x, weight, bias, *arguments)
    return torch_ops.group_norm_silu_out(x, weight, bias, *arguments, out=out)
