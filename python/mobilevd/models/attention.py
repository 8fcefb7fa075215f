"""Attention over positions, over frames and over the image token; GEGLU feed-forward.

Layouts: spatial attention reads [N, S, C] (N = batch*frames, S = H*W), temporal attention
[B, F, S, C] (each position attends over its F frames). Heads are contiguous in C. Nothing is
permuted outside the cores, so that a fused kernel can take the temporal core's place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from .config import UNetConfig
from .projections import FunnelledLinear, projection

AttentionCore = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int, float], torch.Tensor]


def spatial_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_heads: int, scale: float
) -> torch.Tensor:
    """softmax(q k^T * scale) v over S: q [N, S, C], k [N, T, C], v [N, T, D] -> [N, S, D]."""
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, scale=scale)
    return out.transpose(1, 2).flatten(-2)


def temporal_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_heads: int, scale: float
) -> torch.Tensor:
    """softmax over F at every position: q and k [B, F, S, C], v [B, F, S, D] -> [B, F, S, D].

    Positions and heads are one dimension of a view, [B, S * heads, F, d]: of four dimensions torch
    has a fused form, of five it has none, and Inductor (2.13, CPU) makes another function of them.
    """
    positions = q.shape[2]
    q, k, v = (
        x.unflatten(-1, (num_heads, -1)).permute(0, 2, 3, 1, 4).flatten(1, 2) for x in (q, k, v)
    )
    out = F.scaled_dot_product_attention(q, k, v, scale=scale).unflatten(1, (positions, num_heads))
    return out.permute(0, 3, 1, 2, 4).flatten(-2)


class SelfAttention(nn.Module):
    """Projections around a core; ``core`` is replaced by the export rewrites.

    Funnels give heads other widths inside (q and k, v). The scale stays that of the original
    head: it belongs to the function computed, not to the width it is computed with.
    """

    def __init__(
        self, dim: int, num_heads: int, core: AttentionCore, config: UNetConfig, path: str
    ) -> None:
        super().__init__()
        head_dim = dim // num_heads
        self.num_heads = num_heads
        self.scale = head_dim**-0.5
        self.core = core
        funnel = config.attention_width(path)
        if funnel is not None and config.unmerged_funnels:
            qk, v = funnel
            self.to_q: nn.Module = FunnelledLinear(dim, dim, num_heads, qk, "output", bias=False)
            self.to_k: nn.Module = FunnelledLinear(dim, dim, num_heads, qk, "output", bias=False)
            self.to_v: nn.Module = FunnelledLinear(dim, dim, num_heads, v, "output", bias=False)
            self.to_out: nn.Module = FunnelledLinear(dim, dim, num_heads, v, "input", bias=True)
            return
        qk, v = funnel or (head_dim, head_dim)
        self.to_q = projection(config, f"{path}.to_q", dim, num_heads * qk)
        self.to_k = projection(config, f"{path}.to_k", dim, num_heads * qk)
        self.to_v = projection(config, f"{path}.to_v", dim, num_heads * v)
        self.to_out = projection(config, f"{path}.to_out", num_heads * v, dim, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        return self.to_out(self.core(q, k, v, self.num_heads, self.scale))


class CrossAttention(nn.Module):
    """Every position of a clip attends to the clip's image tokens [B, T, D] (SVD: T = 1)."""

    def __init__(self, dim: int, num_heads: int, config: UNetConfig, path: str) -> None:
        super().__init__()
        context_dim = config.cross_attention_dim
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.to_q = projection(config, f"{path}.to_q", dim, dim)
        self.to_k = projection(config, f"{path}.to_k", context_dim, dim)
        self.to_v = projection(config, f"{path}.to_v", context_dim, dim)
        self.to_out = projection(config, f"{path}.to_out", dim, dim, bias=True)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        # All frames and positions of one clip share its tokens: fold them into one sequence.
        q = self.to_q(x).reshape(context.shape[0], -1, x.shape[-1])
        out = spatial_attention(
            q, self.to_k(context), self.to_v(context), self.num_heads, self.scale
        )
        return self.to_out(out).reshape(x.shape)


class CollapsedCrossAttention(nn.Module):
    """Cross-attention to exactly one token: softmax over one key is 1 (MobileVD 3.2).

    Returns [B, 1, 1, C], the same vector for every frame and position, computed once.
    """

    def __init__(self, dim: int, config: UNetConfig, path: str) -> None:
        super().__init__()
        self.to_v = projection(config, f"{path}.to_v", config.cross_attention_dim, dim)
        self.to_out = projection(config, f"{path}.to_out", dim, dim, bias=True)

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        out = self.to_out(self.to_v(context))
        return out.view(out.shape[0], 1, 1, -1)


class FeedForward(nn.Module):
    """GEGLU: out(value * gelu(gate)), four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(dim, 8 * dim)
        self.proj_out = nn.Linear(4 * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.proj_in(x).chunk(2, dim=-1)
        return self.proj_out(value * F.gelu(gate))
