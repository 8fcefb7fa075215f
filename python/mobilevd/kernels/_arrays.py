"""What every kernel's Python face needs of numpy arrays and torch tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", "np.ndarray[Any, Any]", "torch.Tensor")


def kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def empty_like(like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A new array aligned to cache lines, which numpy's own are not: the kernel then stores large
    results past the caches."""
    if like.dtype.hasobject:
        return np.empty_like(like)  # the kernel's check names the dtype
    raw = np.empty(like.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + like.nbytes].view(like.dtype).reshape(like.shape)
