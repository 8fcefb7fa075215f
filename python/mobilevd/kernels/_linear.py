from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mobilevd import _kernels
from mobilevd.kernels._arrays import Array, check_kinds, empty

Activation = Literal["silu", "geglu"]


def pack_linear_weight(weight: Array, geglu: bool = False) -> Array:
    """Pack a linear layer's weight for linear; once, e.g. at export.

    Parameters
    ----------
    weight : [out_features, in_features] as torch.nn.Linear has it; float32 or float16
    geglu : the outputs are a value and a gate, halves of `weight`, for activation "geglu"

    Returns
    -------
    [panels, in_features, 16], padded with zeros: panels of 16 outputs, with `geglu` in turn of
    value and of gate. The layout is the same for every ISA. Aligned to 64 bytes, which is 2 to 5 %
    faster; keep it so where you can.
    """
    check_kinds("weight", weight)
    if len(weight.shape) != 2:
        raise ValueError(f"weight: expected [out_features, in_features], got {tuple(weight.shape)}")
    outputs, inputs = weight.shape
    panels = 2 * -(-outputs // 32) if geglu else -(-outputs // 16)
    numpy_weight = weight if isinstance(weight, np.ndarray) else weight.detach().cpu().numpy()
    packed = empty((panels, inputs, 16), numpy_weight.dtype)
    _kernels.pack_linear_weight(np.ascontiguousarray(numpy_weight), packed, geglu)
    if isinstance(weight, np.ndarray):
        return packed
    import torch

    return torch.from_numpy(packed)


def linear(
    x: Array,
    packed_weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    activation: Activation | None = None,
    out: Array | None = None,
    *,
    out_features: int | None = None,
) -> Array:
    """A linear layer with what follows it, in one pass over its output. Inference only.

    `out = residual + activation(x @ weight.T + bias)`, float32 arithmetic whatever the storage.
    "geglu" is diffusers': value * gelu(gate), GELU by erf, the value being the first half of the
    weight's outputs (arXiv 2002.05202).

    Parameters
    ----------
    x : [..., in_features], float32 or float16, C-contiguous
    packed_weight : by pack_linear_weight (with geglu=True for "geglu"); of x's dtype, or float16
    bias : [out_features], or [2 * out_features] for "geglu"; float32
    residual, out : [..., out_features], of x's dtype; out must not overlap x, and may be the
        residual; a new array when None
    activation : None, "silu" or "geglu"
    out_features : needed only where neither `bias`, `residual` nor `out` tell it and it is not a
        multiple of 16, to which packed weights are padded

    Returns
    -------
    `out`.

    Raises
    ------
    TypeError, ValueError
        As temporal_attention.
    """
    check_kinds("x", x, {"packed_weight": packed_weight}, bias=bias, residual=residual, out=out)
    if packed_weight is None:
        what = "numpy array" if isinstance(x, np.ndarray) else "torch tensor"
        raise TypeError(f"packed_weight: expected a {what}, got None")
    if out_features is None:
        out_features = _width(packed_weight, bias, residual, activation, out)

    if isinstance(x, np.ndarray):
        if out is None:
            out = empty((*x.shape[:-1], out_features), x.dtype)
        elif out.shape[-1:] != (out_features,):
            raise ValueError(f"out: expected {out_features} features, got {out.shape}")
        _kernels.linear(x, packed_weight, out, bias, residual, activation)
        return out
    from mobilevd.kernels import torch_ops

    arguments = (x, packed_weight, out_features, bias, residual, activation)
    if out is None:
        return torch_ops.linear(*arguments)
    return torch_ops.linear_out(*arguments, out=out)


def _width(packed_weight: Any, bias: Any, residual: Any, activation: Any, out: Any) -> int:
    copies = 2 if activation == "geglu" else 1
    for array in (out, residual):
        if array is not None and len(array.shape) > 0:
            return int(array.shape[-1])
    if bias is not None and len(bias.shape) == 1:
        return int(bias.shape[0]) // copies
    return 16 * int(packed_weight.shape[0]) // copies if len(packed_weight.shape) > 0 else 0
