"""The frames of a clip as one picture: Vulkan's convolutions take a batch of one.

Frames are [N, C, H, W] between the layers; around a convolution they are stacked along the height,
[1, C, N * rows, W], with zero rows between them that stand for each frame's own padding.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ...models.resblock import Upsample
from ..vulkan_limits import TEXTURE_LAYERS, texture_layers


class StackedConv2d(nn.Module):
    """``conv`` over [N, C, H, W], computed as one picture where N > 1."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 1:
            return self.conv(x)
        return self.over_frames(x.transpose(0, 1), x.shape[0])

    def over_frames(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        """x [C, N, H, W] -> [N, C, H', W']."""
        conv = self.conv
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        padding, dilation = conv.padding[0], conv.dilation[0]
        if not (dilation == 1 and isinstance(padding, int) and 1 <= kernel - 2 * padding <= stride):
            raise ValueError(f"frames cannot be stacked for {conv}")
        c, _, h, w = x.shape
        # Every frame begins where a window does, and has zero rows above and below it.
        rows = -(-(h + padding) // stride) * stride
        if rows > h:
            x = F.pad(x, (0, 0, 0, rows - h))
        y = nn.Conv2d.forward(conv, x.reshape(1, c, frames * rows, w))
        height = (h + 2 * padding - kernel) // stride + 1
        y = y.view(y.shape[1], frames, rows // stride, y.shape[3])
        if rows // stride > height:
            y = y[:, :, :height]
        return y.transpose(0, 1).contiguous()


class StackedUpsample(StackedConv2d):
    """The same for the upsampler: nearest rows of a stack are those of its frames."""

    conv: Upsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        if n == 1:
            return self.conv(x)
        scale = self.conv.scale
        x = x.transpose(0, 1).reshape(1, c, n * h, w)
        x = F.interpolate(x, scale_factor=float(scale), mode="nearest")
        return self.over_frames(x.view(c, n, h * scale, w * scale), n)


def stack_frames(network: nn.Module) -> None:
    """Convolutions over frames become convolutions over one picture (Vulkan: ``convolution`` is
    delegated for a batch of one only; upsampling, as a texture of at most 2048 layers)."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and not isinstance(module, StackedConv2d):
                stacked = StackedUpsample if isinstance(child, Upsample) else StackedConv2d
                setattr(module, name, stacked(child))


class GroupNormInParts(nn.Module):
    """``norm`` over [N, C, H, W], a few frames at a time: as many as one texture holds."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames, channels = x.shape[:2]
        parts = -(-texture_layers(channels, frames) // TEXTURE_LAYERS)
        if parts == 1:
            return self.norm(x)
        size = -(-frames // parts)
        if texture_layers(channels, size) > TEXTURE_LAYERS:
            size = TEXTURE_LAYERS // texture_layers(channels)
        starts = range(0, frames, size)
        return torch.cat([self.norm(x[i : min(i + size, frames)]) for i in starts])


def part_group_norms(network: nn.Module) -> None:
    """GroupNorm goes over a few frames at a time (Vulkan: it takes textures only, of at most 2048
    layers, and a layer is four channels of one frame: seven frames of 1280 channels are 2240)."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm) and not isinstance(module, GroupNormInParts):
                setattr(module, name, GroupNormInParts(child))
