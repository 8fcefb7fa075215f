from __future__ import annotations

from typing import Any

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, check_kinds, empty
from mobilevd.kernels._conv import ConvActivation, flat_conv_weight


def pack_conv_int8(weight: Array) -> tuple[Array, Array]:
    """Quantise and pack a convolution's weight for conv2d_3x3_int8 or temporal_conv_int8; once.

    Symmetric, per output channel: scale = max|w| / 127.

    Parameters
    ----------
    weight : as for pack_conv_weight; float32

    Returns
    -------
    int8 [ceil(out_channels / 16), taps, ceil(in_channels / 8), 16, 8], taps 9 or 3, and its scales,
    float32 [ceil(out_channels / 16) * 16], padded with zeros; the same for every ISA.

    Raises
    ------
    TypeError
        No array, or another dtype.
    ValueError
        Another shape; a weight that is NaN or Inf.
    """
    flat: Any = flat_conv_weight(weight)
    if isinstance(weight, np.ndarray):
        return _kernels.pack_conv_int8(np.ascontiguousarray(flat))
    import torch

    packed, scales = _kernels.pack_conv_int8(flat.detach().cpu().contiguous().numpy())
    return torch.from_numpy(packed), torch.from_numpy(scales)


def conv2d_3x3_int8(
    x: Array,
    weight: Array,
    scales: Array,
    out_channels: int,
    scale: float,
    zero_point: int,
    bias: Array | None = None,
    residual: Array | None = None,
    activation: ConvActivation | None = None,
    stride: int = 1,
    out: Array | None = None,
) -> Array:
    """conv2d_3x3 with int8 weights, x taken to 8 bits on its way in (static quantisation).

    `q = clip(round(x / scale + zero_point), -128, 127)`, products and sums in integers, then
    `out = activation(scale * scales * sum + bias + residual)`. Inference only. A NaN in x becomes a
    number.

    Parameters
    ----------
    x : [N, H, W, in_channels], float32, C-contiguous
    weight, scales : of pack_conv_int8
    scale, zero_point : of x's features in 8 bits; zero_point -128..127
    bias, residual, activation, stride, out : as for conv2d_3x3; float32

    Raises
    ------
    TypeError, ValueError
        As temporal_attention.
    """
    arrays = (x, weight, scales, out_channels, scale, zero_point, bias, residual, activation)
    return _call("conv2d_3x3_int8", *arrays, out, stride)


def temporal_conv_int8(
    x: Array,
    weight: Array,
    scales: Array,
    out_channels: int,
    scale: float,
    zero_point: int,
    bias: Array | None = None,
    residual: Array | None = None,
    activation: ConvActivation | None = None,
    out: Array | None = None,
) -> Array:
    """temporal_conv with int8 weights, x taken to 8 bits on its way in: see conv2d_3x3_int8."""
    arrays = (x, weight, scales, out_channels, scale, zero_point, bias, residual, activation)
    return _call("temporal_conv_int8", *arrays, out)


def _call(
    name: str,
    x: Any,
    weight: Any,
    scales: Any,
    out_channels: int,
    scale: float,
    zero_point: int,
    bias: Any,
    residual: Any,
    activation: ConvActivation | None,
    out: Any,
    *stride: int,
) -> Any:
    given = {"weight": weight, "scales": scales}
    check_kinds("x", x, given, bias=bias, residual=residual, out=out)
    options = (out_channels, scale, zero_point, bias, residual, activation, *stride)
    if isinstance(x, np.ndarray):
        if out is None:
            step = stride[0] if stride and stride[0] > 0 else 1
            shape = (*x.shape[:1], *(-(-size // step) for size in x.shape[1:3]), out_channels)
            out = empty(shape, x.dtype)
        getattr(_kernels, name)(x, weight, scales, out, *options)
        return out
    from mobilevd.kernels import torch_ops

    if out is None:
        return getattr(torch_ops, name)(x, weight, scales, *options)
    return getattr(torch_ops, f"{name}_out")(x, weight, scales, *options, out=out)
