"""The kernels on raw numpy arrays (cpp/bindings/kernels_module.cc); use mobilevd.kernels."""

from typing import Any

import numpy as np

_Float = np.ndarray[Any, np.dtype[np.float32]]
_Int8 = np.ndarray[Any, np.dtype[np.int8]]
_Weights = _Float | _Int8
_Array = _Float | np.ndarray[Any, np.dtype[np.float16]]

def spatial_attention(
    q: _Array, k: _Array, v: _Array, out: _Array, num_heads: int, scale: float | None = None
) -> None: ...
def temporal_attention(
    q: _Array, k: _Array, v: _Array, out: _Array, num_heads: int, scale: float | None = None
) -> None: ...
def conv2d_3x3(
    x: _Array,
    weight: _Array,
    out: _Array,
    out_channels: int,
    bias: _Array | None = None,
    residual: _Array | None = None,
    activation: str | None = None,
    stride: int = 1,
) -> None: ...
def temporal_conv(
    x: _Array,
    weight: _Array,
    out: _Array,
    out_channels: int,
    bias: _Array | None = None,
    residual: _Array | None = None,
    activation: str | None = None,
) -> None: ...
def group_norm_silu(
    x: _Array,
    weight: _Array | None,
    bias: _Array | None,
    out: _Array,
    num_groups: int,
    eps: float = 1e-5,
    silu: bool = True,
    channels_last: bool = False,
) -> None: ...
def linear(
    x: _Array,
    packed_weight: _Array,
    out: _Array,
    bias: _Array | None = None,
    residual: _Array | None = None,
    activation: str | None = None,
) -> None: ...
def pack_linear_weight(weight: _Array, packed: _Array, geglu: bool = False) -> None: ...
def pack_conv_weight(weight: _Array) -> _Array: ...
def conv2d_3x3_int8(
    x: _Float,
    weight: _Int8,
    scales: _Float,
    out: _Float,
    out_channels: int,
    scale: float,
    zero_point: int,
    bias: _Float | None = None,
    residual: _Float | None = None,
    activation: str | None = None,
    stride: int = 1,
) -> None: ...
def temporal_conv_int8(
    x: _Float,
    weight: _Int8,
    scales: _Float,
    out: _Float,
    out_channels: int,
    scale: float,
    zero_point: int,
    bias: _Float | None = None,
    residual: _Float | None = None,
    activation: str | None = None,
) -> None: ...
def pack_conv_int8(weight: _Float) -> tuple[_Int8, _Float]: ...
def gemm_int8(
    x: _Float, weight: _Int8, scales: _Float, out: _Float, bias: _Float | None = None
) -> None: ...
def pack_gemm_int8(weight: _Float) -> tuple[_Int8, _Float]: ...
def pack_temporal_attention_block(
    to_q: _Float, to_k: _Float, to_v: _Float, to_out: _Float, num_heads: int, int8: bool
) -> tuple[_Weights, _Float | None, _Weights, _Float | None]: ...
def temporal_attention_block(
    x: _Float,
    norm_weight: _Float,
    norm_bias: _Float,
    to_qkv: _Weights,
    to_qkv_scale: _Float | None,
    to_out: _Weights,
    to_out_scale: _Float | None,
    out_bias: _Float,
    out: _Float,
    num_heads: int,
    scale: float | None = None,
    eps: float = 1e-5,
) -> None: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def available_isas() -> list[str]: ...
def measure_roofline(seconds: float = 0.2) -> tuple[float, float]: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
