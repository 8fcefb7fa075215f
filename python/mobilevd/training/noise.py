"""Noise levels: those of sampling, and their distributions in training (facts 3.1, 4, 5)."""

from __future__ import annotations

import torch

from ..presets import Sampling
from .clip_noise import ClipNoise

P_MEAN, P_STD = 0.7, 1.6  # log sigma of training, SVD's public finetuning scripts
COND_MEAN, COND_STD = -3.0, 0.5  # log sigma of the conditioning picture's noise, sgm config
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 700.0, 7.0  # SVD's sampler


def log_normal(noise: ClipNoise, mean: float, std: float) -> torch.Tensor:
    """sigma [B] with log sigma ~ N(mean, std^2)."""
    return (noise.normal() * std + mean).exp()


def karras_grid(
    levels: int, low: float = SIGMA_MIN, high: float = SIGMA_MAX, rho: float = RHO
) -> torch.Tensor:
    """Noise levels from ``high`` down to ``low``, float64 (arXiv 2206.00364, eq. 5);
    one level: ``high`` alone."""
    ramp = torch.linspace(0, 1, levels, dtype=torch.float64)
    return (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho


def sampling_sigmas(sampling: Sampling) -> torch.Tensor:
    """The levels a clip goes through and a last 0: [steps + 1].

    "euler" makes the grid anew for its number of steps, "consistency" takes every
    (levels / steps)-th of a grid of ``levels``.
    """
    s = sampling
    if s.steps < 1:
        raise ValueError(f"steps must be at least 1, not {s.steps}")
    if s.sampler == "euler":
        sigmas = karras_grid(s.steps, s.sigma_min, s.sigma_max, s.rho)
    elif s.sampler == "consistency":
        if s.levels is None or s.steps > s.levels:
            raise ValueError(f"{s.steps} consistency steps need as many levels, not {s.levels}")
        grid = karras_grid(s.levels, s.sigma_min, s.sigma_max, s.rho)
        sigmas = grid[[i * s.levels // s.steps for i in range(s.steps)]]
    else:
        raise ValueError(f"unknown sampler '{s.sampler}'; known: euler, consistency")
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def discretized_log_normal(grid: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """Probabilities of the levels of a falling ``grid``: N(mean, std^2) of log sigma by intervals.

    p(sigma_i) ~ erf((ln sigma_i - mean) / (std sqrt 2)) - erf((ln sigma_{i+1} - mean) / ...)
    (arXiv 2310.14189, SF-V eq. 7); the lowest level gets none.
    """
    z = torch.erf((grid.log() - mean) / (std * 2**0.5))
    weights = torch.cat([z[:-1] - z[1:], z.new_zeros(1)])
    return weights / weights.sum()
