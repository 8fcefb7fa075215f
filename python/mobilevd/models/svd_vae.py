"""SVD's autoencoder: a picture encoder and a decoder that also looks along the frames.

The same function as diffusers' ``AutoencoderKLTemporalDecoder``; ``diffusers_keys`` maps the
parameters one to one. Latents are unscaled on both sides: the sampler diffuses
``latent_scale * latents`` and conditions on the latents as they are (facts: mobilevd-paper 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .resblock import Upsample
from .tiny_vae import TinyDecoder, TinyVaeConfig
from .vae_blocks import ClipResBlock, PictureAttention, PictureResBlock


@dataclass(frozen=True)
class SvdVaeConfig:
    """Widths by resolution level, finest first; the defaults are SVD's."""

    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    # Latents are multiplied by this to reach unit variance before noise is added.
    latent_scale: float = 0.18215
    # A small decoder in the temporal one's place (paper, Table 9): phones' choice, as SVD's own
    # costs several times the UNet.
    tiny_decoder: TinyVaeConfig | None = None

    def __post_init__(self) -> None:
        if any(c % 32 for c in self.block_out_channels):
            raise ValueError("block_out_channels must be multiples of 32 (GroupNorm's groups)")
        if self.layers_per_block != 2:
            # diffusers' decoder then leaves parts of its middle block unused.
            raise ValueError(f"layers_per_block must be 2 as in SVD, not {self.layers_per_block}")
        tiny = self.tiny_decoder
        if tiny and (tiny.factor, tiny.latent_channels) != (self.factor, self.latent_channels):
            raise ValueError("the tiny decoder's latents have another size than the encoder's")

    @property
    def factor(self) -> int:
        return 2 ** (len(self.block_out_channels) - 1)


class HalvePicture(nn.Conv2d):
    """Stride-2 3x3 convolution, padded at the right and at the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class EncoderBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, layers: int, down: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            PictureResBlock(out_channels if i else in_channels, out_channels) for i in range(layers)
        )
        self.downsampler = HalvePicture(out_channels) if down else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.resnets:
            x = block(x)
        return x if self.downsampler is None else self.downsampler(x)


class EncoderMid(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(PictureResBlock(channels, channels) for _ in range(2))
        self.attentions = nn.ModuleList([PictureAttention(channels)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class SvdEncoder(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the posterior's mode [N, L, H/f, W/f] (SVD never samples it)."""

    def __init__(self, config: SvdVaeConfig) -> None:
        super().__init__()
        widths = config.block_out_channels
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            EncoderBlock(
                widths[max(i - 1, 0)], width, config.layers_per_block, down=i < len(widths) - 1
            )
            for i, width in enumerate(widths)
        )
        self.mid_block = EncoderMid(widths[-1])
        self.conv_norm_out = nn.GroupNorm(32, widths[-1], eps=1e-6)
        self.latent_channels = config.latent_channels
        moments = 2 * config.latent_channels  # mean, then log variance
        self.conv_out = nn.Conv2d(widths[-1], moments, 3, padding=1)
        self.quant_conv = nn.Conv2d(moments, moments, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(image)
        for block in self.down_blocks:
            x = block(x)
        x = self.mid_block(x)
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        x = self.quant_conv(x)
        # The mean alone; the export rewrite has cut the convolution down to it already.
        return x if x.shape[1] == self.latent_channels else x[:, : self.latent_channels]


class DecoderMid(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ClipResBlock(channels, channels) for _ in range(2))
        self.attentions = nn.ModuleList([PictureAttention(channels)])

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x, frames)), frames)


class DecoderBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, layers: int, up: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            ClipResBlock(out_channels if i else in_channels, out_channels) for i in range(layers)
        )
        self.upsampler = Upsample(out_channels) if up else None

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        for block in self.resnets:
            x = block(x, frames)
        return x if self.upsampler is None else self.upsampler(x)


class SvdDecoder(nn.Module):
    """Latents [B*F, L, h, w] -> frames [B*F, 3, f*h, f*w] in about [-1, 1].

    ``frames`` is F, the length of one clip; without it all latents are one clip. Frames see their
    neighbours, so a clip decoded in parts differs at the cuts (as diffusers' decode_chunk_size).
    """

    def __init__(self, config: SvdVaeConfig) -> None:
        super().__init__()
        widths = tuple(reversed(config.block_out_channels))
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = DecoderMid(widths[0])
        self.up_blocks = nn.ModuleList(
            DecoderBlock(
                widths[max(i - 1, 0)], width, config.layers_per_block + 1, up=i < len(widths) - 1
            )
            for i, width in enumerate(widths)
        )
        self.conv_norm_out = nn.GroupNorm(32, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)
        self.time_conv_out = nn.Conv2d(3, 3, (3, 1), padding=(1, 0))

    def forward(self, latents: torch.Tensor, frames: int | None = None) -> torch.Tensor:
        frames = latents.shape[0] if frames is None else frames
        x = self.mid_block(self.conv_in(latents), frames)
        for block in self.up_blocks:
            x = block(x, frames)
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        n, c, h, w = x.shape
        x = x.reshape(n // frames, frames, c, h * w).transpose(1, 2).contiguous()
        return self.time_conv_out(x).transpose(1, 2).contiguous().view(n, c, h, w)


class SvdVae(nn.Module):
    """Encoder and one of the decoders; both decoders take the latents of a clip as [F, L, h, w]."""

    def __init__(self, config: SvdVaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SvdEncoder(config)
        self.decoder = (
            SvdDecoder(config) if config.tiny_decoder is None else TinyDecoder(config.tiny_decoder)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Pictures coded one by one: for the temporal decoder, clips of one frame."""
        latents = self.encoder(image)
        if isinstance(self.decoder, SvdDecoder):
            return self.decoder(latents, frames=1)
        return self.decoder(latents)
