"""What every kernel's Python face needs of numpy arrays and torch tensors."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", "np.ndarray[Any, Any]", "torch.Tensor")


def kind(value: object) -> str:
    if value is None:
        return "None"
    return f"{type(value).__module__}.{type(value).__qualname__}"


def check_kinds(
    name: str,
    first: object,
    others: Mapping[str, object] = MappingProxyType({}),
    **optional: object,
) -> None:
    """TypeError, naming the array, unless `first` is a numpy array or a torch tensor, the others
    are what it is, and so are the optional ones that are not None."""
    torch = sys.modules.get("torch")  # not imported for numpy's sake
    if isinstance(first, np.ndarray):
        library, what = np.ndarray, "numpy array"
    elif torch is not None and isinstance(first, torch.Tensor):
        library, what = torch.Tensor, "torch tensor"
    else:
        raise TypeError(f"{name}: expected a numpy array or a torch CPU tensor, got {kind(first)}")
    given = {other: array for other, array in optional.items() if array is not None}
    for other, array in {**others, **given}.items():
        if not isinstance(array, library):
            raise TypeError(f"{other}: expected a {what} as {name} is, got {kind(array)}")


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A new array aligned to cache lines, which numpy's own are not: the kernel then stores large
    results past the caches."""
    if dtype.hasobject:
        return np.empty(shape, dtype)  # the kernel's check names the dtype
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def aligned(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy aligned to cache lines."""
    result = empty(array.shape, array.dtype)
    result[...] = array
    return result
