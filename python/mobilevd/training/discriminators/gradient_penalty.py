"""R1 (arXiv 1801.04406): a discriminator should be flat where the real data are."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def score(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    """One number per clip [B]: the mean over heads of the mean over a head's places."""
    return torch.stack([head.mean(dim=1) for head in logits]).mean(dim=0)


def exact_r1(logits: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """E |d score / d inputs|^2, a mean over clips; differentiable in the weights.

    ``inputs`` are all that the heads see of the real clips: the noised latents (R1 as published),
    or the encoder's features (as ADD does, arXiv 2311.17042: no backward pass of the encoder).
    """
    total = score(logits)
    gradients = torch.autograd.grad(total.sum(), inputs, create_graph=True)
    return torch.stack([g.square().sum() for g in gradients]).sum() / len(total)


def finite_difference_r1(
    logits: Sequence[torch.Tensor], moved: Sequence[torch.Tensor]
) -> torch.Tensor:
    """E |D(x + a n) - D(x)|^2, about a^2 |dD/dx|^2 (approximate R1 as in FastGen: a = 0.1)."""
    pairs = zip(logits, moved, strict=True)
    return torch.stack([(m - o).square().mean() for o, m in pairs]).mean()
