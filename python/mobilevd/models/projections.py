"""Linear layers in the forms compression leaves them: funnelled (training) and of low rank."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from .config import UNetConfig


class FunnelledLinear(nn.Linear):
    """A Linear with a channel funnel per head on its output or input side (MobileVD 3.4).

    ``weight`` keeps its full shape and trains together with ``funnel``: on the output side
    [heads, width, head_dim], applied after the weight; on the input side [heads, head_dim, width],
    applied before it. The two are multiplied first and meet the activations as one matrix, which
    is the same function with the same gradients, at the cost of the merged layer.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        heads: int,
        width: int,
        side: Literal["output", "input"],
        bias: bool,
    ) -> None:
        super().__init__(in_features, out_features, bias=bias)
        head_dim = (out_features if side == "output" else in_features) // heads
        shape = (heads, width, head_dim) if side == "output" else (heads, head_dim, width)
        self.side = side
        self.funnel = nn.Parameter(torch.eye(shape[1], shape[2]).repeat(heads, 1, 1))

    def merged_weight(self) -> torch.Tensor:
        """[heads * width, in] or [out, heads * width]."""
        heads = self.funnel.shape[0]
        if self.side == "output":
            return (self.funnel @ self.weight.unflatten(0, (heads, -1))).flatten(0, 1)
        columns = self.weight.unflatten(1, (heads, -1)).transpose(0, 1)  # [heads, out, head_dim]
        return (columns @ self.funnel).transpose(0, 1).flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.merged_weight(), self.bias)


class LowRankLinear(nn.Module):
    """``up(down(x))``: a Linear's weight as a product (Table 5's truncated decomposition)."""

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool) -> None:
        super().__init__()
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.down(x))


def projection(
    config: UNetConfig, path: str, in_features: int, out_features: int, bias: bool = False
) -> nn.Module:
    """The linear layer at ``path``, of low rank where the configuration says so."""
    rank = config.linear_rank(path)
    if rank is not None:
        return LowRankLinear(in_features, out_features, rank, bias)
    return nn.Linear(in_features, out_features, bias=bias)
