"""SVD's diffusion in EDM's terms: sigma_data 1, v-prediction (facts: mobilevd-paper 3.1)."""

from __future__ import annotations

import torch


def _spread(sigma: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return sigma.reshape(-1, *[1] * (like.ndim - 1))


def c_in(sigma: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """x / sqrt(sigma^2 + 1)."""
    return x / (_spread(sigma, x) ** 2 + 1).sqrt()


def c_noise(sigma: torch.Tensor) -> torch.Tensor:
    return 0.25 * sigma.log()


def denoised(x: torch.Tensor, v: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """D(x) = c_skip x + c_out v, c_skip = 1/(s^2+1), c_out = -s/sqrt(s^2+1)."""
    s = _spread(sigma, x)
    return x / (s**2 + 1) - v * s / (s**2 + 1).sqrt()


def v_target(x0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The v for which D(x0 + sigma noise) = x0: (noise - sigma x0) / sqrt(sigma^2 + 1).

    SVD's loss weight (1+s^2)/s^2 times c_out^2 is 1: its weighted loss is the plain error of v.
    """
    s = _spread(sigma, x0)
    return (noise - s * x0) / (s**2 + 1).sqrt()
