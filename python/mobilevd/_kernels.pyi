"""The kernels on raw numpy arrays (cpp/bindings/kernels_module.cc); use mobilevd.kernels."""

from typing import Any

import numpy as np

_Array = np.ndarray[Any, np.dtype[np.float32]] | np.ndarray[Any, np.dtype[np.float16]]

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
    silu: bool = False,
    stride: int = 1,
) -> None: ...
def temporal_conv(
    x: _Array,
    weight: _Array,
    out: _Array,
    out_channels: int,
    bias: _Array | None = None,
    residual: _Array | None = None,
    silu: bool = False,
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
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def available_isas() -> list[str]: ...
def measure_roofline(seconds: float = 0.2) -> tuple[float, float]: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
