"""What the tests of the int8 kernels share: data, the headers' integers, wrong arguments."""

from __future__ import annotations

import numpy as np
import torch


def random(shape, seed=0, scale=1.0, offset=0.0):
    flat = np.random.default_rng(seed).standard_normal(int(np.prod(shape)))
    return (scale * flat + offset).astype(np.float32).reshape(shape)


def quantised_weight(weight):
    """The headers' integers, and their scales [out]."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    factor = 127 / np.where(largest > 0, largest, np.inf).astype(np.float64)
    return np.rint(weight * factor.reshape(-1, *[1] * (weight.ndim - 1))), largest / np.float32(127)


def half(name):
    """Changes an argument to float16."""
    return lambda a: {name: a[name].astype(np.float16)}


def changed(given, change, kind):
    """The arguments, changed, as numpy arrays, CPU tensors or tensors without data."""
    given = given | (change(given) if callable(change) else change)
    if kind == "numpy":
        return given
    arrays = {key: a for key, a in given.items() if isinstance(a, np.ndarray)}
    return given | {key: torch.from_numpy(a).to(kind) for key, a in arrays.items()}
