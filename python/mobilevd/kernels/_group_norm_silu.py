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
    eps: float,
    silu: bool = True,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Group normalisation (arXiv 1803.08494), then SiLU unless told otherwise.

    `y = (x - mean) / sqrt(var + eps) * weight[c] + bias[c]`, `out = y / (1 + exp(-y))`, with mean
    and variance over everything in a sample's group of `C // num_groups` neighbouring channels;
    float32 arithmetic whatever the storage. Large means cost no digits.

    Spatial use: N = batch * frames. Temporal use, statistics over the frames, too: N = batch and x
    [B, C, F, S], or [B, F, S, C] with `channels_last`.

    Parameters
    ----------
    x : [N, C, ...], or [N, ..., C] with `channels_last`; float32 or float16, C-contiguous
    weight, bias : [C], of one dtype, float32 or that of x; None: 1, 0
    eps : positive
    out : like x; x itself is allowed (in place), other overlap is not; a new array when None

    Returns
    -------
    `out`. Tensors are differentiable unless `out` is given.

    Raises
    ------
    TypeError
        Neither numpy arrays nor CPU tensors, or a dtype other than float32 and float16.
    ValueError
        Shapes that do not fit, `num_groups` that does not divide C, `eps` not positive, an array
        that is not contiguous, overlapping `out`.
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
