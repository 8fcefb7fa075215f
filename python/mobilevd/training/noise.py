"""Noise levels of SVD's training (facts: mobilevd-paper 3.1)."""

from __future__ import annotations

import torch

P_MEAN, P_STD = 0.7, 1.6  # log sigma of training, SVD's public finetuning scripts
COND_MEAN, COND_STD = -3.0, 0.5  # log sigma of the conditioning picture's noise, sgm config


def log_normal(count: int, mean: float, std: float, generator: torch.Generator) -> torch.Tensor:
    return (torch.randn(count, generator=generator) * std + mean).exp()
