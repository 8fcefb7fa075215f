"""A tiny autoencoder in TAESD's architecture (diffusers' ``AutoencoderTiny``), any depth.

Factor 2 per entry of ``blocks`` after the first. Pictures are in [-1, 1]; parameter names are
diffusers'. Frames are coded one by one: no temporal layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class TinyVaeConfig:
    latent_channels: int = 4
    width: int = 64
    encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    # Latents are multiplied by this to reach unit variance before noise is added.
    latent_scale: float = 1.0
    # What the network's own latents are, times ours. TAESD codes SVD's latents * 0.18215 (diffusers
    # gives it scaling_factor 1), while every other place here speaks of unscaled ones.
    native_scale: float = 1.0
    # Widths by level, finest first, of a decoder of SVD's kind in the tiny one's place.
    temporal_decoder: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        widths = self.temporal_decoder
        if widths and len(widths) != len(self.encoder_blocks):
            raise ValueError(f"temporal_decoder needs {len(self.encoder_blocks)} widths")

    @property
    def factor(self) -> int:
        return 2 ** (len(self.encoder_blocks) - 1)


class Block(nn.Module):
    """relu(x + three 3x3 convolutions)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x) + x)


class TinyEncoder(nn.Module):
    """[B, 3, H, W] in [-1, 1] -> latents [B, L, H/f, W/f]."""

    def __init__(self, config: TinyVaeConfig) -> None:
        super().__init__()
        width = config.width
        layers: list[nn.Module] = []
        for i, blocks in enumerate(config.encoder_blocks):
            layers.append(
                nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
                if i
                else nn.Conv2d(3, width, 3, padding=1)
            )
            layers += [Block(width) for _ in range(blocks)]
        layers.append(nn.Conv2d(width, config.latent_channels, 3, padding=1))
        self.layers = nn.Sequential(*layers)
        self.native_scale = config.native_scale

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        latents = self.layers((image + 1) / 2)
        return latents if self.native_scale == 1 else latents / self.native_scale


class TinyDecoder(nn.Module):
    """Latents [B, L, h, w] -> [B, 3, f*h, f*w] in about [-1, 1]."""

    def __init__(self, config: TinyVaeConfig) -> None:
        super().__init__()
        width, last = config.width, len(config.decoder_blocks) - 1
        layers: list[nn.Module] = [
            nn.Conv2d(config.latent_channels, width, 3, padding=1),
            nn.ReLU(),
        ]
        for i, blocks in enumerate(config.decoder_blocks):
            layers += [Block(width) for _ in range(blocks)]
            if i < last:
                layers.append(nn.Upsample(scale_factor=2))
            layers.append(nn.Conv2d(width, 3 if i == last else width, 3, padding=1, bias=i == last))
        self.layers = nn.Sequential(*layers)
        self.native_scale = config.native_scale

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.tanh(latents / (3 / self.native_scale)) * 3) * 2 - 1


class TinyVae(nn.Module):
    def __init__(self, config: TinyVaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TinyEncoder(config)
        self.decoder: nn.Module = TinyDecoder(config)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(image))
