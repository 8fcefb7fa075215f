from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, check_kinds, empty

ConvActivation = Literal["silu", "relu"]


def pack_conv_weight(weight: Array) -> Array:
    """Pack a convolution's weight for conv2d_3x3 or temporal_conv; once, e.g. at export.

    Parameters
    ----------
    weight : [out_channels, in_channels, 3, 3], or [out_channels, in_channels, 3] with any number
        of further dimensions of size 1 (torch's Conv3d of (3, 1, 1)); float32 or float16

    Returns
    -------
    [ceil(out_channels / 16), taps, in_channels, 16], taps 9 or 3, padded with zeros; the layout is
    the same for every ISA.

    Raises
    ------
    TypeError
        No array, or a dtype other than float32 and float16.
    ValueError
        Another shape.
    """
    flat: Any = flat_conv_weight(weight)
    if isinstance(weight, np.ndarray):
        return _kernels.pack_conv_weight(np.ascontiguousarray(flat))
    import torch

    return torch.from_numpy(_kernels.pack_conv_weight(flat.detach().cpu().contiguous().numpy()))


def flat_conv_weight(weight: Array) -> Array:
    """[out_channels, in_channels, taps], taps 9 or 3; pack_conv_weight's errors."""
    check_kinds("weight", weight)
    shape = tuple(weight.shape)
    square = len(shape) == 4 and shape[2:] == (3, 3)
    line = len(shape) >= 3 and shape[2] == 3 and all(size == 1 for size in shape[3:])
    if not (square or line):
        raise ValueError(
            "weight: expected [out_channels, in_channels, 3, 3] or [out_channels, in_channels, 3, "
            f"1...], got {shape}"
        )
    return weight.reshape(shape[0], shape[1], -1)


def conv2d_3x3(
    x: Array,
    weight: Array,
    out_channels: int,
    bias: Array | None = None,
    residual: Array | None = None,
    activation: ConvActivation | None = None,
    stride: int = 1,
    out: Array | None = None,
) -> Array:
    """3x3 convolution with padding 1 over channels-last pictures, by Winograd where it pays.

    `out = activation(conv(x, weight) + bias + residual)`, float32 arithmetic. Inference only.

    Parameters
    ----------
    x : [N, H, W, in_channels], float32 or float16, C-contiguous
    weight : packed by pack_conv_weight; of x's dtype, or float16
    bias : [out_channels], float32
    residual, out : [N, ceil(H / stride), ceil(W / stride), out_channels], of x's dtype; out must
        not overlap x, and may be the residual
    activation : None, "silu" or "relu"
    stride : 1 or 2

    Raises
    ------
    TypeError, ValueError
        As temporal_attention.
    """
    return _call("conv2d_3x3", x, weight, out_channels, bias, residual, activation, out, stride)


def temporal_conv(
    x: Array,
    weight: Array,
    out_channels: int,
    bias: Array | None = None,
    residual: Array | None = None,
    activation: ConvActivation | None = None,
    out: Array | None = None,
) -> Array:
    """Convolution over three frames of each position, filter (3, 1, 1) with padding 1.

    As conv2d_3x3, with x [B, F, S, in_channels] and out, residual [B, F, S, out_channels]: F
    frames, S positions.
    """
    return _call("temporal_conv", x, weight, out_channels, bias, residual, activation, out)


def _call(
    name: str,
    x: Any,
    weight: Any,
    out_channels: int,
    bias: Any,
    residual: Any,
    activation: ConvActivation | None,
    out: Any,
    *stride: int,
) -> Any:
    check_kinds("x", x, {"weight": weight}, bias=bias, residual=residual, out=out)
    if isinstance(x, np.ndarray):
        if out is None:
            step = stride[0] if stride and stride[0] > 0 else 1
            shape = (*x.shape[:1], *(-(-size // step) for size in x.shape[1:3]), out_channels)
            out = empty(shape, x.dtype)
        getattr(_kernels, name)(x, weight, out, out_channels, bias, residual, activation, *stride)
        return out
    from mobilevd.kernels import torch_ops

    arguments = (x, weight, out_channels, bias, residual, activation, *stride)
    if out is None:
        return getattr(torch_ops, name)(*arguments)
    return getattr(torch_ops, f"{name}_out")(*arguments, out=out)
