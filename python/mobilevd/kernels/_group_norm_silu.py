from __future__ import annotations

import sys

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, empty_like, kind


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
    others = (("weight", weight), ("bias", bias), ("out", out))
    if isinstance(x, np.ndarray):
        for name, array in others:
            if array is not None and not isinstance(array, np.ndarray):
                raise TypeError(f"{name}: expected a numpy array as x is, got {kind(array)}")
        if out is None:
            out = empty_like(x)
        _kernels.group_norm_silu(x, weight, bias, out, num_groups, eps, silu, channels_last)
        return out

    torch = sys.modules.get("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        raise TypeError(f"x: expected a numpy array or a torch CPU tensor, got {kind(x)}")
    for name, array in others:
        if array is not None and not isinstance(array, torch.Tensor):
            raise TypeError(f"{name}: expected a torch tensor as x is, got {kind(array)}")
    from mobilevd.kernels import torch_ops

    arguments = (x, weight, bias, num_groups, eps, silu, channels_last)
    if out is None:
        return torch_ops.group_norm_silu(*arguments)
    return torch_ops.group_norm_silu_out(*arguments, out=out)
