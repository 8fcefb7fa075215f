"""Attention over frames from its definition, in float64."""

from __future__ import annotations

import numpy as np


def temporal_attention_float64(q, k, v, num_heads, scale=None):
    batch, frames, positions, _ = q.shape
    width_v = v.shape[3]

    def split(x):  # [B, F, S, H*d] -> [B, S, H, F, d]
        x = np.asarray(x, dtype=np.float64)
        return x.reshape(batch, frames, positions, num_heads, x.shape[3] // num_heads).transpose(
            0, 2, 3, 1, 4
        )

    q, k, v = split(q), split(k), split(v)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    logits = scale * q @ k.swapaxes(-1, -2)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ v).transpose(0, 3, 1, 2, 4).reshape(batch, frames, positions, width_v)


def tolerance(v: np.ndarray) -> float:
    """Issue 2's bound in float32: 1e-6 of the largest value; in float16, its rounding as well."""
    largest = float(np.abs(v).max()) if v.size else 0.0
    relative = 1e-6 if v.dtype == np.float32 else 1e-6 + 0.5 * float(np.finfo(v.dtype).eps)
    return relative * largest + (0 if v.dtype == np.float32 else 2**-25)
