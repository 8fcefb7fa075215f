"""The tiny autoencoder's halves: convolutions one after another, each with the ReLU behind it."""

from __future__ import annotations

import torch
from torch import nn

from ....models import tiny_vae
from .layers import Convolution, ToChannelsFirst, ToChannelsLast, UpsampledConvolution


class Block(nn.Module):
    """Three convolutions; the last one's kernel adds ``x``."""

    def __init__(self, of: tiny_vae.Block) -> None:
        super().__init__()
        convolutions = [layer for layer in of.conv if isinstance(layer, nn.Conv2d)]
        self.conv1, self.conv2, self.conv3 = (
            Convolution(layer, activation="relu") for layer in convolutions
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv3(self.conv2(self.conv1(x)), residual=x)


@torch.no_grad()
def put_tiny_vae_channels_last(network: tiny_vae.TinyEncoder | tiny_vae.TinyDecoder) -> None:
    """ValueError for a layer, or an order of them, that the tiny autoencoder does not have."""
    ours: list[nn.Module] = [ToChannelsLast()]
    upsampling = 1
    for layer in network.layers:
        if isinstance(layer, tiny_vae.Block) and upsampling == 1:
            ours.append(Block(layer))
        elif isinstance(layer, nn.ReLU) and isinstance(ours[-1], Convolution):
            ours[-1].activation = "relu"
        elif isinstance(layer, nn.Upsample) and layer.mode == "nearest":
            upsampling *= int(layer.scale_factor)  # type: ignore[arg-type]
        elif isinstance(layer, nn.Conv2d):
            up = upsampling > 1
            ours.append(UpsampledConvolution(layer, upsampling) if up else Convolution(layer))
            upsampling = 1
        else:
            raise ValueError(f"no kernel of ours for {layer} behind {ours[-1]}")
    network.layers = nn.Sequential(*ours, ToChannelsFirst())
