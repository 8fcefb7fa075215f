"""A batch of one clip, which is what is exported: no dimension for it, no copies around it.

Needed by Vulkan, where every view, permute and sum is a pass over the features and a dispatch; a
runtime that was built with ExecuTorch's tracer refuses programs of more than 2048 dispatches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from ...models.attention import CollapsedCrossAttention
from ...models.resblock import SpatialResBlock, SpatioTemporalResBlock, _as_map
from ...models.transformer import (
    SpatialBlock,
    SpatioTemporalTransformer,
    TemporalBlock,
)
from ...models.unet import UNet
from .constants import alpha_of
from .frames import StackedConv2d
from .linear import linear_of


class TokenAttention(CollapsedCrossAttention):
    """Collapsed cross-attention as one Linear: to_out of to_v. [B, 1, D] -> [B, 1, 1, C]."""

    def __init__(self, attention: CollapsedCrossAttention) -> None:
        nn.Module.__init__(self)
        to_v, to_out = attention.to_v, attention.to_out
        assert isinstance(to_v, nn.Linear)
        assert isinstance(to_out, nn.Linear)
        weight = to_out.weight.double() @ to_v.weight.double()
        self.linear = linear_of(weight.to(to_v.weight.dtype), to_out.bias)

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        return self.linear(context).unsqueeze(1)


def _token(attention: nn.Module, context: torch.Tensor) -> torch.Tensor:
    """[1, 1, D] -> [1, 1, C]."""
    if isinstance(attention, TokenAttention):
        return attention.linear(context)
    return attention(context).view(1, 1, -1)


@torch.no_grad()
def merge_token_attention(unet: UNet) -> None:
    """Two Linear layers on one token become one; a factorised projection stays as it is."""
    for module in unet.modules():
        for name, child in module.named_children():
            if isinstance(child, CollapsedCrossAttention):
                pair = (child.to_v, child.to_out)
                if all(isinstance(linear, nn.Linear) for linear in pair):
                    setattr(module, name, TokenAttention(child))


class OneClipTransformer(nn.Module):
    """SpatioTemporalTransformer with tokens [F, S, C] from one end to the other."""

    def __init__(self, of: SpatioTemporalTransformer) -> None:
        super().__init__()
        self.norm, self.proj_in, self.proj_out = of.norm, of.proj_in, of.proj_out
        self.transformer_blocks = of.transformer_blocks
        self.has_temporal = of.has_temporal
        if of.has_temporal:
            self.temporal_transformer_blocks = of.temporal_transformer_blocks
            self.time_pos_embed = of.time_pos_embed
            self.alpha = alpha_of(of.time_mixer)

    def forward(self, x: torch.Tensor, context: torch.Tensor, frames: int) -> torch.Tensor:
        n, c, h, w = x.shape
        y = self.proj_in(self.norm(x).view(n, c, h * w).transpose(1, 2))
        for i, block in enumerate(cast(Iterable[SpatialBlock], self.transformer_blocks)):
            y = y + block.attn1(block.norm1(y))
            y = y + _token(block.attn2, context)
            y = y + block.ff(block.norm3(y))
            if self.has_temporal:
                z = self._temporal(i, y + self.time_pos_embed(frames).view(frames, 1, c), context)
                y = torch.add(y * self.alpha, z, alpha=1 - self.alpha)
        return x + self.proj_out(y).transpose(1, 2).reshape(n, c, h, w)

    def _temporal(self, i: int, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        block = cast(TemporalBlock, self.temporal_transformer_blocks[i])
        x = x + block.ff_in(block.norm_in(x))
        x = x + block.attn1(block.norm1(x))
        x = x + _token(block.attn2, context)
        return x + block.ff(block.norm3(x))


def drop_the_batch(unet: UNet) -> None:
    """Transformers over one clip's tokens; they need collapsed cross-attention."""
    for module in unet.modules():
        for name, child in module.named_children():
            if isinstance(child, SpatioTemporalTransformer):
                setattr(module, name, OneClipTransformer(child))


class OneClipResBlock(nn.Module):
    """SpatioTemporalResBlock that goes from the spatial to the temporal part without a permute:
    what a stacked convolution gives, [C, F, H, W], is what convolutions over frames read.

    The blend of spatial s and temporal s + t is s + (1 - alpha) t.
    """

    def __init__(self, of: SpatioTemporalResBlock) -> None:
        super().__init__()
        self.spatial_res_block = of.spatial_res_block
        self.has_temporal = of.has_temporal
        if of.has_temporal:
            self.temporal_res_block = of.temporal_res_block
            self.alpha = alpha_of(of.time_mixer)

    def forward(self, x: torch.Tensor, time: torch.Tensor, frames: int) -> torch.Tensor:
        x = self._spatial(self.spatial_res_block, x, time)
        if self.has_temporal:
            c, f, h, w = x.shape
            x = x.reshape(1, c, f, h * w)
            x = torch.add(x, self.temporal_res_block.pair(x, time, 1), alpha=1 - self.alpha)
            x = x.view(c, f, h, w)
        return x.transpose(0, 1).contiguous()

    def _spatial(self, block: SpatialResBlock, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """x [F, C, H, W] -> [C', F, H, W]."""
        y = block.conv1(F.silu(block.norm1(x))) + _as_map(block.time_emb_proj(time))
        y = _stacked(block.conv2)(F.silu(block.norm2(y)).transpose(0, 1))
        x = x.transpose(0, 1)
        return y + (x if block.conv_shortcut is None else _stacked(block.conv_shortcut)(x))


def _stacked(conv: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    if isinstance(conv, StackedConv2d):
        return conv.stacked
    assert isinstance(conv, nn.Conv2d)
    return StackedConv2d(conv).stacked


def join_res_blocks(unet: UNet) -> None:
    """Spatial and temporal residual blocks share a layout; needs merged funnels."""
    for module in unet.modules():
        for name, child in module.named_children():
            if isinstance(child, SpatioTemporalResBlock):
                setattr(module, name, OneClipResBlock(child))
