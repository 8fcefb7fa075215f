"""A Linear layer of given weights."""

from __future__ import annotations

import torch
from torch import nn


def linear_of(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    """Without memory beside that of ``weight`` [out, in] and ``bias`` [out]."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    linear.weight = nn.Parameter(weight)
    if bias is not None:
        linear.bias = nn.Parameter(bias)
    return linear
