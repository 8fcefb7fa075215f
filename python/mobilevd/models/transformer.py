"""SVD's spatio-temporal transformer: a spatial and a temporal block, blended."""

from __future__ import annotations

import torch
from torch import nn

from .attention import (
    CollapsedCrossAttention,
    CrossAttention,
    FeedForward,
    SelfAttention,
    spatial_attention,
    temporal_attention,
)
from .config import UNetConfig
from .embeddings import FramePosition


class AlphaBlender(nn.Module):
    """alpha * spatial + (1 - alpha) * temporal with alpha = sigmoid(mix_factor), a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.mix_factor = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, spatial: torch.Tensor, temporal: torch.Tensor) -> torch.Tensor:
        alpha = torch.sigmoid(self.mix_factor)
        return alpha * spatial + (1.0 - alpha) * temporal


def _add_cross_attention(
    block: SpatialBlock | TemporalBlock, dim: int, heads: int, config: UNetConfig, path: str
) -> None:
    if config.collapsed_cross_attention:
        block.attn2 = CollapsedCrossAttention(dim, config, f"{path}.attn2")
    else:
        block.norm2 = nn.LayerNorm(dim)
        block.attn2 = CrossAttention(dim, heads, config, f"{path}.attn2")


class SpatialBlock(nn.Module):
    """Self-attention over positions, cross-attention, feed-forward; x is [B, F, S, C]."""

    norm2: nn.LayerNorm
    attn2: CrossAttention | CollapsedCrossAttention

    def __init__(self, dim: int, heads: int, config: UNetConfig, path: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = SelfAttention(dim, heads, spatial_attention, config, f"{path}.attn1")
        _add_cross_attention(self, dim, heads, config, path)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        shape = x.shape
        x = x + self.attn1(self.norm1(x).flatten(0, 1)).reshape(shape)
        x = x + cross_attend(self, x, context)
        return x + self.ff(self.norm3(x))


class TemporalBlock(nn.Module):
    """Feed-forward, self-attention over frames, cross-attention, feed-forward; [B, F, S, C]."""

    norm2: nn.LayerNorm
    attn2: CrossAttention | CollapsedCrossAttention

    def __init__(self, dim: int, heads: int, config: UNetConfig, path: str) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(dim)
        self.ff_in = FeedForward(dim)
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = SelfAttention(dim, heads, temporal_attention, config, f"{path}.attn1")
        _add_cross_attention(self, dim, heads, config, path)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = x + self.ff_in(self.norm_in(x))
        x = x + self.attn1(self.norm1(x))
        x = x + cross_attend(self, x, context)
        return x + self.ff(self.norm3(x))


def cross_attend(
    block: SpatialBlock | TemporalBlock, x: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    """The block's cross-attention, either form; the collapsed one needs no query."""
    if isinstance(block.attn2, CollapsedCrossAttention):
        return block.attn2(context)
    return block.attn2(block.norm2(x), context)


class SpatioTemporalTransformer(nn.Module):
    """GroupNorm, proj_in, (spatial block, temporal block, blend) x layers, proj_out, residual.

    x is [B*F, C, H, W]; context [B, T, D]. Where the temporal blocks were pruned, they, their
    position embedding and the blend do not exist: the spatial path goes on alone.
    """

    def __init__(self, dim: int, heads: int, config: UNetConfig, path: str) -> None:
        super().__init__()
        layers = range(config.transformer_layers_per_block)
        self.norm = nn.GroupNorm(32, dim, eps=1e-6)
        self.proj_in = nn.Linear(dim, dim)
        self.transformer_blocks = nn.ModuleList(
            SpatialBlock(dim, heads, config, f"{path}.transformer_blocks.{i}") for i in layers
        )
        temporal_path = f"{path}.temporal_transformer_blocks"
        self.has_temporal = config.keeps(temporal_path)
        if self.has_temporal:
            self.temporal_transformer_blocks = nn.ModuleList(
                TemporalBlock(dim, heads, config, f"{temporal_path}.{i}") for i in layers
            )
            self.time_pos_embed = FramePosition(dim)
            self.time_mixer = AlphaBlender()
        self.proj_out = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor, context: torch.Tensor, frames: int) -> torch.Tensor:
        n, c, h, w = x.shape
        tokens = self.norm(x).reshape(n // frames, frames, c, h * w).transpose(2, 3)
        return self.tokens(tokens, context).transpose(2, 3).contiguous().view(n, c, h, w) + x

    def tokens(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """proj_in to proj_out, x [B, F, S, C]."""
        x = self.proj_in(x)
        if self.has_temporal:
            frames, c = x.shape[1], x.shape[3]
            position = self.time_pos_embed(frames).view(frames, 1, c)
            pairs = zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True)
            for spatial_block, temporal_block in pairs:
                x = spatial_block(x, context)
                x = self.time_mixer(x, temporal_block(x + position, context))
        else:
            for spatial_block in self.transformer_blocks:
                x = spatial_block(x, context)
        return self.proj_out(x)
