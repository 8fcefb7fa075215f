"""Weights of a temporal self-attention block, and the block from its definition in float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from temporal_attention_reference import temporal_attention_float64


class Weights(NamedTuple):
    norm_weight: np.ndarray
    norm_bias: np.ndarray
    to_q: np.ndarray
    to_k: np.ndarray
    to_v: np.ndarray
    to_out: np.ndarray
    to_out_bias: np.ndarray


def problem(shape, channels, heads, d_qk, d_v, seed=0, offset=0):
    """x [*shape, channels] and its weights, float32; x lies `offset` elements past an allocation's
    start."""
    rng = np.random.default_rng(seed)

    def normal(*size, deviation=1.0, mean=0.0):
        return (mean + deviation * rng.standard_normal(size)).astype(np.float32)

    full = (*shape, channels)
    x = normal(int(np.prod(full)) + offset, mean=0.5)[offset:].reshape(full)
    return x, Weights(
        normal(channels, deviation=0.2, mean=1),
        normal(channels, deviation=0.2),
        normal(heads * d_qk, channels, deviation=1.5 * channels**-0.5),
        normal(heads * d_qk, channels, deviation=1.5 * channels**-0.5),
        normal(heads * d_v, channels, deviation=channels**-0.5),
        normal(channels, heads * d_v, deviation=(heads * d_v) ** -0.5),
        normal(channels),
    )


def snap(rows, snapped):
    """Each row on int8's grid: 255 steps, the largest element at either end."""
    if not snapped:
        return rows
    quantum = np.abs(rows).max(axis=-1, keepdims=True) / 127
    return np.round(rows / np.where(quantum == 0, 1, quantum)) * quantum


def added_float64(x, weights, heads, scale=None, eps=1e-5, snapped=False):
    """What the block adds to x; `snapped`, with weights and activations on int8's grids."""
    w = Weights(*(np.asarray(a, np.float64) for a in weights))
    x = np.asarray(x, np.float64)
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    y = (x - mean) / np.sqrt(variance + eps) * w.norm_weight + w.norm_bias
    y = snap(y, snapped)
    q, k, v = (y @ snap(a, snapped).T for a in (w.to_q, w.to_k, w.to_v))
    attended = temporal_attention_float64(q, k, v, heads, scale)
    return snap(attended, snapped) @ snap(w.to_out, snapped).T + w.to_out_bias


def tolerance(added, bias, channels, width):
    """Of float32: rounding in sums of `channels` and `width` terms, beside softmax and residual."""
    if added.size == 0:
        return 0.0
    largest = np.abs(bias).max() + np.abs(added - bias).max()
    return float(np.finfo(np.float32).eps * (np.sqrt(channels + width) + 40) * largest)
