from __future__ import annotations

from typing import Any

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, check_kinds, empty


def pack_gemm_int8(weight: Array) -> tuple[Array, Array]:
    """Quantise and pack a linear layer's weight for gemm_int8; once, e.g. at export.

    Symmetric, per output: scale = max|w| / 127.

    Parameters
    ----------
    weight : [out_features, in_features], float32, as torch.nn.Linear has it

    Returns
    -------
    int8 [ceil(out_features / 16), ceil(in_features / 8), 16, 8] and its scales, float32
    [ceil(out_features / 16) * 16], padded with zeros; the same for every ISA.

    Raises
    ------
    TypeError
        No array, or another dtype.
    ValueError
        Another shape; a weight that is NaN or Inf; more than 65536 features.
    """
    check_kinds("weight", weight)
    if isinstance(weight, np.ndarray):
        return _kernels.pack_gemm_int8(np.ascontiguousarray(weight))
    import torch

    packed, scales = _kernels.pack_gemm_int8(weight.detach().cpu().contiguous().numpy())
    return torch.from_numpy(packed), torch.from_numpy(scales)


def gemm_int8(
    x: Array,
    weight: Array,
    scales: Array,
    out_features: int,
    bias: Array | None = None,
    out: Array | None = None,
) -> Array:
    """`x weight^T + bias` with int8 weights, each row of x in 8 bits (dynamic quantisation).

    A row is quantised symmetrically by its own largest value; products and sums are of integers,
    and the same bits come from every ISA. Inference only.

    Parameters
    ----------
    x : [..., in_features], float32, C-contiguous
    weight, scales : of pack_gemm_int8
    bias : [out_features], float32
    out : [..., out_features], float32; must not overlap x

    Raises
    ------
    TypeError, ValueError
        As temporal_attention.
    """
    check_kinds("x", x, {"weight": weight, "scales": scales}, bias=bias, out=out)
    if isinstance(x, np.ndarray):
        shape = (*x.shape[:-1], out_features)
        if out_features < 1:
            raise ValueError(f"out_features: expected at least 1, got {out_features}")
        if out is None:
            out = empty(shape, x.dtype)
        elif out.shape != shape:
            raise ValueError(f"out: expected {shape}, got {out.shape}")
        given: Any = out
        _kernels.gemm_int8(x, weight, scales, given, bias)
        return given
    from mobilevd.kernels import torch_ops

    if out is None:
        return torch_ops.gemm_int8(x, weight, scales, out_features, bias)
    return torch_ops.gemm_int8_out(x, weight, scales, out_features, bias, out=out)
