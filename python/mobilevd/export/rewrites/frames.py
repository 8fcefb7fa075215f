"""The frames of a clip as one picture: Vulkan's convolutions take a batch of one.

Frames are [N, C, H, W] between the layers; around a convolution they are stacked along the height,
[1, C, N * rows, W], with zero rows between them that stand for each frame's own padding.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ...models.resblock import Upsample
from ..vulkan_limits import TEXTURE_LAYERS, TEXTURE_LIMITS, even_part, texture_layers


class StackedConv2d(nn.Module):
    """``conv`` over [N, C, H, W], computed as one picture where N > 1."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 1:
            return self.conv(x)
        return self.stacked(x.transpose(0, 1)).transpose(0, 1).contiguous()

    def stacked(self, x: torch.Tensor) -> torch.Tensor:
        """x [C, N, H, W] -> [C', N, H', W']."""
        conv = self.conv
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        padding, dilation = conv.padding[0], conv.dilation[0]
        if not (dilation == 1 and isinstance(padding, int) and 1 <= kernel - 2 * padding <= stride):
            raise ValueError(f"frames cannot be stacked for {conv}")
        c, frames, h, w = x.shape
        # Every frame begins where a window does, and has zero rows above and below it.
        rows = -(-(h + padding) // stride) * stride
        if rows > h:
            x = F.pad(x, (0, 0, 0, rows - h))
        y = nn.Conv2d.forward(conv, x.reshape(1, c, frames * rows, w))
        height = (h + 2 * padding - kernel) // stride + 1
        y = y.view(y.shape[1], frames, rows // stride, y.shape[3])
        return y if rows // stride == height else y[:, :, :height]


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
        y = self.stacked(x.view(c, n, h * scale, w * scale))
        return y.transpose(0, 1).contiguous()


def stack_frames(network: nn.Module) -> None:
    """Convolutions over frames become convolutions over one picture (Vulkan: ``convolution`` is
    delegated for a batch of one only; upsampling, as a texture of at most 2048 layers)."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and not isinstance(module, StackedConv2d):
                stacked = StackedUpsample if isinstance(child, Upsample) else StackedConv2d
                setattr(module, name, stacked(child))


class GroupNormInParts(nn.Module):
    """``norm`` over [N, C, H, W] in parts: groups apart where there are many channels, and as many
    frames at a time as one texture holds."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        parts = -(-norm.num_channels // TEXTURE_LIMITS[0])
        while norm.num_groups % parts:
            parts += 1
        self.norms = nn.ModuleList(_groups(norm, parts, i) for i in range(parts))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.norms) == 1:
            return self._over_frames(self.norms[0], x)
        parts = x.split([norm.num_channels for norm in self.norms], dim=1)
        pairs = zip(self.norms, parts, strict=True)
        return torch.cat([self._over_frames(norm, part) for norm, part in pairs], dim=1)

    def _over_frames(self, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
        frames, channels = x.shape[:2]
        most = max(1, TEXTURE_LAYERS // texture_layers(channels))
        if frames <= most:
            return norm(x)
        return torch.cat([norm(part) for part in x.split(even_part(frames, most))])


def _groups(norm: nn.GroupNorm, parts: int, i: int) -> nn.GroupNorm:
    """The i-th of so many even parts of a GroupNorm's groups; weights are views."""
    if parts == 1:
        return norm
    groups, channels = norm.num_groups // parts, norm.num_channels // parts
    part = nn.GroupNorm(groups, channels, norm.eps, device="meta")
    part.weight = nn.Parameter(norm.weight.detach()[i * channels : (i + 1) * channels])
    part.bias = nn.Parameter(norm.bias.detach()[i * channels : (i + 1) * channels])
    return part


def part_group_norms(network: nn.Module) -> None:
    """GroupNorm goes over a few frames, and a few groups, at a time.

    Vulkan takes it with textures only, of at most 2048 layers, and a layer is four channels of one
    frame: seven frames of 1280 channels are 2240. Its weight is counted as a texture as wide as
    there are channels: 2560 are too many for the smaller device class.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, GroupNormInParts(child))
