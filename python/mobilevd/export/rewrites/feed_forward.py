"""The transformer's feed-forward."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ...models.attention import FeedForward
from ...models.unet import UNet
from ..vulkan_limits import BUFFER_ELEMENTS, even_part
from .linear import linear_of


class SplitFeedForward(nn.Module):
    def __init__(self, feed_forward: FeedForward) -> None:
        super().__init__()
        self.value, self.gate = (
            linear_of(w, b)
            for w, b in zip(
                feed_forward.proj_in.weight.chunk(2),
                feed_forward.proj_in.bias.chunk(2),
                strict=True,
            )
        )
        self.proj_out = feed_forward.proj_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj_out(self.value(x) * F.gelu(self.gate(x)))


@torch.no_grad()
def split_feed_forwards(unet: UNet) -> None:
    """GEGLU's one wide Linear becomes two, so that no split copy cuts the delegate in two."""
    for module in unet.modules():
        for name, child in module.named_children():
            if isinstance(child, FeedForward):
                setattr(module, name, SplitFeedForward(child))


class FeedForwardInParts(nn.Module):
    """A few frames at a time where all frames' hidden features would be over the limit.

    x is [B, F, S, C] or [F, S, C].
    """

    def __init__(self, feed_forward: nn.Module, expansion: int = 4) -> None:
        super().__init__()
        self.feed_forward = feed_forward
        self.expansion = expansion

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = x.shape[-3]
        most = max(1, BUFFER_ELEMENTS // (self.expansion * x.numel() // frames))
        if frames <= most:
            return self.feed_forward(x)
        parts = x.split(even_part(frames, most), dim=-3)
        return torch.cat([self.feed_forward(part) for part in parts], dim=-3)


def part_feed_forwards(unet: UNet) -> None:
    """Four times as wide inside: 14 frames of 2048 positions and 320 channels are 147 MB of
    float32 there, over the 128 MiB that every Vulkan device's buffers hold."""
    for module in list(unet.modules()):
        for name, child in module.named_children():
            if isinstance(child, FeedForward | SplitFeedForward):
                setattr(module, name, FeedForwardInParts(child))
