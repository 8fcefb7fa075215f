"""How near two tensors are."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...psnr import EXACT_DB, decibels


def compare(got: torch.Tensor, want: torch.Tensor) -> dict[str, Any]:
    """``cosine``, ``relative_l2``, ``max_abs``, ``psnr_db`` (its peak: the range of ``want``).

    Computed in float64. All None where ``got`` has NaN or infinite values, which ``non_finite``
    counts. ValueError if the shapes differ.
    """
    if got.shape != want.shape:
        raise ValueError(f"compared {tuple(got.shape)} with {tuple(want.shape)}")
    got, want = got.double().flatten(), want.double().flatten()
    bad = int((~torch.isfinite(got)).sum())
    if bad:
        names = ("cosine", "relative_l2", "max_abs", "psnr_db")
        return {**dict.fromkeys(names), "non_finite": bad}
    error = got - want
    norms = float(got.norm() * want.norm())
    square = error.square().mean()
    peak = float(want.max() - want.min())
    return {
        "cosine": float(got @ want) / norms if norms > 0 else float(square == 0),
        "relative_l2": float(error.norm()) / max(float(want.norm()), 1e-30),
        "max_abs": float(error.abs().max()),
        "psnr_db": float(decibels(square, peak)) if peak > 0 else EXACT_DB,
        "non_finite": 0,
    }


def worst(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several evaluations, the one with the largest relative error; NaN is worse than all."""
    return max(figures, key=lambda f: math.inf if f["non_finite"] else f["relative_l2"])
