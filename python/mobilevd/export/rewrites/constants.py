"""What is known at export becomes a constant; what nobody reads is not computed."""

from __future__ import annotations

import torch
from torch import nn

from ...models.embeddings import FramePosition
from ...models.layout import frames_at
from ...models.svd_vae import SvdEncoder
from ...models.transformer import AlphaBlender
from ...models.unet import UNet


class ConstantFramePosition(nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value: torch.Tensor
        self.register_buffer("value", value)

    def forward(self, frames: int) -> torch.Tensor:
        if frames != self.value.shape[0]:
            raise ValueError(f"exported for {self.value.shape[0]} frames, called with {frames}")
        return self.value


@torch.no_grad()
def fold_frame_positions(unet: UNet) -> None:
    """The frame-position MLP sees only constants: its output becomes one (a bundle's frames
    are fixed). Saves sin, cos and two Linear layers per transformer."""
    for path, module in unet.named_modules():
        for name, child in module.named_children():
            if isinstance(child, FramePosition):
                value = child(frames_at(unet.config, f"{path}.{name}")).clone()
                setattr(module, name, ConstantFramePosition(value))


class ConstantBlend(nn.Module):
    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, spatial: torch.Tensor, temporal: torch.Tensor) -> torch.Tensor:
        return spatial * self.alpha + temporal * (1.0 - self.alpha)


def alpha_of(blend: nn.Module) -> float:
    """Of a blend that is folded or not yet."""
    if isinstance(blend, ConstantBlend):
        return blend.alpha
    assert isinstance(blend, AlphaBlender)
    return float(torch.sigmoid(blend.mix_factor.detach()))


@torch.no_grad()
def fold_blends(network: nn.Module) -> None:
    """sigmoid(mix_factor) becomes a number: no sigmoid and subtraction of one element left."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, AlphaBlender):
                setattr(module, name, ConstantBlend(alpha_of(child)))


@torch.no_grad()
def keep_the_mean(network: nn.Module) -> None:
    """SVD's encoder also computes a log variance that nobody reads: half a convolution less, and
    no slice behind it."""
    if isinstance(network, SvdEncoder):
        full, count = network.quant_conv, network.latent_channels
        mean = nn.Conv2d(full.in_channels, count, 1, device="meta")
        mean.weight = nn.Parameter(full.weight[:count].clone())
        mean.bias = None if full.bias is None else nn.Parameter(full.bias[:count].clone())
        network.quant_conv = mean
