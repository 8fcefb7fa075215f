"""GroupNorm and SiLU from their definitions, in float64."""

from __future__ import annotations

import numpy as np


def group_norm_silu_float64(x, weight, bias, num_groups, eps, silu=True, channels_last=False):
    x = np.asarray(x, np.float64)
    y = np.moveaxis(x, -1, 1) if channels_last else x
    groups = y.reshape(y.shape[0], num_groups, y.shape[1] // num_groups, *y.shape[2:])
    axes = tuple(range(2, groups.ndim))
    if x.size:
        mean = groups.mean(axes, keepdims=True)
        variance = np.square(groups - mean).mean(axes, keepdims=True)
        groups = (groups - mean) / np.sqrt(variance + np.float64(np.float32(eps)))
    per_channel = (-1, *[1] * (y.ndim - 2))
    y = groups.reshape(y.shape)
    if weight is not None:
        y = y * np.asarray(weight, np.float64).reshape(per_channel)
    if bias is not None:
        y = y + np.asarray(bias, np.float64).reshape(per_channel)
    if silu:
        y = y / (1 + np.exp(-y))
    return np.moveaxis(y, 1, -1) if channels_last else y


def tolerance(expected: np.ndarray, dtype) -> float:
    """1e-6 of the largest value in float32; in float16, its rounding as well."""
    largest = float(np.abs(expected).max()) if expected.size else 0.0
    if dtype == np.float32:
        return 1e-6 * largest
    return (1e-6 + 0.5 * float(np.finfo(np.float16).eps)) * largest + 2**-25
