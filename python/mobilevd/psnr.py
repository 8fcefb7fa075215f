"""Peak signal-to-noise ratio."""

from __future__ import annotations

import torch

EXACT_DB = 200.0  # stands for "equal": JSON has no infinity


def psnr_db(
    a: torch.Tensor, b: torch.Tensor, peak: float = 1.0, dim: tuple[int, ...] | None = None
) -> torch.Tensor:
    """dB over ``dim`` (default: everything), float64, at most ``EXACT_DB``.

    ``peak``: the range of values, 1 of pictures in [0, 1], 2 of those in [-1, 1].
    """
    return decibels((a.double() - b.double()).square().mean(dim), peak)


def decibels(square: torch.Tensor, peak: float = 1.0) -> torch.Tensor:
    """Of mean squared errors."""
    return (-10 * (square / peak**2).log10()).clamp(max=EXACT_DB)
