"""Initial values of a funnel between two linear maps, in float64.

y = W2 W1 x with W1 [c, in] and W2 [out, c] becomes y = W2 F2 F1 W1 x with F1 [r, c], F2 [c, r].
All functions take stacks (a leading dimension of heads) and return (F1, F2).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Pair = tuple[torch.Tensor, torch.Tensor]


def coupled_singular(w1: torch.Tensor, w2: torch.Tensor, width: int) -> Pair:
    """MobileVD's coupled singular initialisation: the best width-r product W2 F2 F1 W1.

    With the truncated decomposition W2 W1 ~ U S V^T: F1 = S^1/2 V^T W1^+, F2 = W2^+ U S^1/2 (our
    derivation: the paper's formula is not in what we have; it attains the Eckart-Young optimum).
    Only [c, c] factors are decomposed: W1^T = Q1 R1, W2 = Q2 R2, W2 W1 = Q2 (R2 R1^T) Q1^T.
    """
    r1 = torch.linalg.qr(w1.double().mT, mode="r").R
    r2 = torch.linalg.qr(w2.double(), mode="r").R
    u, s, vh = torch.linalg.svd(r2 @ r1.mT, full_matrices=False)
    root = s[..., :width].sqrt()
    f1 = root.unsqueeze(-1) * (vh[..., :width, :] @ torch.linalg.pinv(r1.mT))
    f2 = (torch.linalg.pinv(r2) @ u[..., :, :width]) * root.unsqueeze(-2)
    return f1, f2


def truncated(w1: torch.Tensor, w2: torch.Tensor, width: int) -> Pair:
    """Table 5's uncoupled alternative: the truncated decomposition of W1 alone, blind to W2."""
    u = torch.linalg.svd(w1.double(), full_matrices=False).U[..., :, :width]
    return u.mT, u


def he(w1: torch.Tensor, w2: torch.Tensor, width: int) -> Pair:
    """Table 4's alternative: normal with variance 2 / fan-in, blind to both (FVD 332, not 132)."""
    c = w1.shape[-2]
    shape = w1.shape[:-2]
    f1 = torch.randn(*shape, width, c, dtype=torch.float64) * (2.0 / c) ** 0.5
    f2 = torch.randn(*shape, c, width, dtype=torch.float64) * (2.0 / width) ** 0.5
    return f1, f2


INITIALISATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, int], Pair]] = {
    "coupled": coupled_singular,
    "truncated": truncated,
    "he": he,
}
