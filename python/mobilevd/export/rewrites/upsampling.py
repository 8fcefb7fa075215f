"""Nearest upsampling as copies of whole pixels: ExecuTorch's own op takes every value by itself."""

from __future__ import annotations

import torch
from torch import nn

from ...models.resblock import Upsample
from .replace import Replacements, replace_modules


def copied_pixels(x: torch.Tensor, scale: int) -> torch.Tensor:
    """[N, H, W, C] -> [N, scale * H, scale * W, C], nearest."""
    n, h, w, c = x.shape
    # In memory a pixel's channels once more are a pixel more, and a row's pixels a row more.
    rows = torch.cat([torch.cat([x] * scale, 3)] * scale, 2)
    return rows.view(n, h * scale, w * scale, c)


class CopiedPixels(nn.Module):
    """[N, C, H, W] -> [N, C, scale * H, scale * W]; what moves the channels is within delegates."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = copied_pixels(x.permute(0, 2, 3, 1), self.scale)
        return pixels.permute(0, 3, 1, 2).contiguous()


def copy_pixels(network: nn.Module) -> None:
    """In place of every nearest upsampling, with a convolution in it or alone."""
    replace_modules(network, _OURS)


def _then_conv(upsample: Upsample) -> nn.Module:
    channels = upsample.in_channels, upsample.out_channels
    conv = nn.Conv2d(*channels, 3, padding=1, device="meta")
    conv.weight, conv.bias = upsample.weight, upsample.bias
    return nn.Sequential(CopiedPixels(upsample.scale), conv)


def _alone(upsample: nn.Upsample) -> nn.Module:
    if upsample.mode != "nearest":
        return upsample
    return CopiedPixels(int(upsample.scale_factor))  # type: ignore[arg-type]


_OURS: Replacements = {Upsample: _then_conv, nn.Upsample: _alone}
