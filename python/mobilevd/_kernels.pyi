"""The kernels on raw numpy arrays (cpp/bindings/kernels_module.cc); use mobilevd.kernels."""

from typing import Any

import numpy as np

_Array = np.ndarray[Any, np.dtype[np.float32]] | np.ndarray[Any, np.dtype[np.float16]]

def group_norm_silu(
    x: _Array,
    weight: _Array | None,
    bias: _Array | None,
    out: _Array,
    num_groups: int,
    eps: float,
    silu: bool = True,
    channels_last: bool = False,
) -> None: ...
def temporal_attention(
    q: _Array, k: _Array, v: _Array, out: _Array, num_heads: int, scale: float | None = None
) -> None: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def available_isas() -> list[str]: ...
def measure_roofline(seconds: float = 0.2) -> tuple[float, float]: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
