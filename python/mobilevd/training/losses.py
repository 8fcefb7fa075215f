"""The equations of the training methods; each names its source (facts: mobilevd-paper 4 to 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

Logits = Sequence[torch.Tensor]  # [B, places] per head


def _over_heads(term: Callable[[torch.Tensor], torch.Tensor], logits: Logits) -> torch.Tensor:
    """Every head weighs the same, however many places it judges."""
    return torch.stack([term(head).mean() for head in logits]).mean()


def hinge_real(logits: Logits) -> torch.Tensor:
    """E max(0, 1 + D(real)), SF-V eq. 8: real is negative there."""
    return _over_heads(lambda d: F.relu(1 + d), logits)


def hinge_fake(logits: Logits) -> torch.Tensor:
    """E max(0, 1 - D(fake)), SF-V eq. 8."""
    return _over_heads(lambda d: F.relu(1 - d), logits)


def hinge_generator(logits: Logits) -> torch.Tensor:
    """E D(fake), SF-V eq. 9."""
    return _over_heads(lambda d: d, logits)


def bce_real(logits: Logits, ceiling: float) -> torch.Tensor:
    """-E log s(D(real)), where D is no longer rewarded past ``ceiling`` (UFOGen's code: 0.5)."""
    return _over_heads(lambda d: F.softplus(-d.clamp(max=ceiling)), logits)


def bce_fake(logits: Logits, floor: float) -> torch.Tensor:
    """-E log(1 - s(D(fake))), where D is no longer rewarded below ``floor`` (-0.5)."""
    return _over_heads(lambda d: F.softplus(d.clamp(min=floor)), logits)


def bce_generator(logits: Logits) -> torch.Tensor:
    """-E log s(D(fake)): the form that does not saturate."""
    return _over_heads(lambda d: F.softplus(-d), logits)


def pseudo_huber(
    x: torch.Tensor, target: torch.Tensor, c: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """E w (sqrt((x - target)^2 + c^2) - c), element by element (AnimateLCM: c = 0.001); w [B]."""
    error = ((x - target).square() + c**2).sqrt() - c
    per_clip = error.flatten(1).mean(dim=1)
    return (per_clip if weights is None else weights * per_clip).mean()


def clip_pseudo_huber(x: torch.Tensor, target: torch.Tensor, c: float) -> torch.Tensor:
    """E sqrt(|x - target|^2 + d c^2) - sqrt(d) c, the norm over a whole clip of d numbers (SF-V
    3.3; its constant grows with sqrt(d) as in arXiv 2310.14189, which gives c = 0.00054)."""
    error = (x - target).flatten(1)
    constant = c * error.shape[1] ** 0.5
    return ((error.square().sum(dim=1) + constant**2).sqrt() - constant).mean()
