"""The SVD UNet (image-to-video), written so that torch.export sees no detours.

Same function as diffusers' ``UNetSpatioTemporalConditionModel``; ``diffusers_keys`` maps the
parameters one to one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from .config import UNetConfig
from .embeddings import EmbeddingMLP, sinusoid
from .multiscale import enter_coarse_scale, leave_coarse_scale
from .resblock import Downsample, SpatioTemporalResBlock, Upsample
from .transformer import SpatioTemporalTransformer


class Level(nn.Module):
    """ResBlocks (each followed by a transformer where ``heads`` is given) at one resolution.

    ``resampler`` makes what leads on to the next level, from the channels; None at the last one.
    """

    resampler_name: str  # of the module: part of every saved key

    def __init__(
        self,
        widths: Sequence[tuple[int, int]],
        heads: int | None,
        eps: float,
        config: UNetConfig,
        path: str,
        resampler: Callable[[int], nn.Module] | None,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(i, o, eps, config, f"{path}.resnets.{n}")
            for n, (i, o) in enumerate(widths)
        )
        self.attentions = nn.ModuleList(
            SpatioTemporalTransformer(o, heads, config, f"{path}.attentions.{n}")
            for n, (_, o) in enumerate(widths)
            if heads is not None
        )
        channels = widths[-1][1]
        self.register_module(self.resampler_name, resampler(channels) if resampler else None)

    def layer(
        self, i: int, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor, frames: int
    ) -> torch.Tensor:
        x = self.resnets[i](x, time, frames)
        return self.attentions[i](x, context, frames) if len(self.attentions) else x


class DownBlock(Level):
    downsampler: Downsample | None
    resampler_name = "downsampler"

    def forward(
        self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor, frames: int
    ) -> list[torch.Tensor]:
        """All outputs for the skip connections; the last one goes on to the next block."""
        skips = []
        for i in range(len(self.resnets)):
            x = self.layer(i, x, time, context, frames)
            skips.append(x)
        if self.downsampler is not None:
            skips.append(self.downsampler(x))
        return skips


class MidBlock(nn.Module):
    def __init__(self, channels: int, heads: int, config: UNetConfig) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(channels, channels, 1e-5, config, f"mid_block.resnets.{i}")
            for i in range(2)
        )
        self.attentions = nn.ModuleList(
            [SpatioTemporalTransformer(channels, heads, config, "mid_block.attentions.0")]
        )

    def forward(
        self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor, frames: int
    ) -> torch.Tensor:
        x = self.resnets[0](x, time, frames)
        x = self.attentions[0](x, context, frames)
        return self.resnets[1](x, time, frames)


class UpBlock(Level):
    upsampler: Upsample | None
    resampler_name = "upsampler"
    channels_last = False  # as the UNet's

    def forward(
        self,
        x: torch.Tensor,
        skips: list[torch.Tensor],
        time: torch.Tensor,
        context: torch.Tensor,
        frames: int,
    ) -> torch.Tensor:
        """Takes its skips off the end of the list."""
        channels = -1 if self.channels_last else 1
        for i in range(len(self.resnets)):
            x = self.layer(i, torch.cat([x, skips.pop()], channels), time, context, frames)
        return x if self.upsampler is None else self.upsampler(x)


class UNet(nn.Module):
    """v-prediction of a noisy clip.

    ``forward(sample [B,F,8,h,w], timestep, encoder_hidden_states [B,1,D], added_time_ids [B,3])``
    -> [B,F,4,h,w]; channels of sample: 4 of c_in * x, then 4 of the conditioning latents;
    timestep is c_noise = 0.25 ln(sigma); added_time_ids are (fps - 1, motion bucket, noise_aug).
    h and w must be multiples of 2^(levels - 1), with spatial multiscaling of 2^levels; with
    temporal multiscaling F must be even.
    """

    # Features are [B*F, C, H, W]; an export rewrite makes them, and the blocks, [B*F, H, W, C].
    channels_last = False

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.block_out_channels
        heads = [
            h if a else None
            for h, a in zip(config.num_attention_heads, config.attention_levels, strict=True)
        ]
        last = len(widths) - 1
        time_dim = config.time_embed_dim
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = EmbeddingMLP(widths[0], time_dim)
        added = config.num_added_time_ids * config.addition_time_embed_dim
        self.add_embedding = EmbeddingMLP(added, time_dim)

        self.down_blocks = nn.ModuleList()
        skips = [widths[0]]
        for i, width in enumerate(widths):
            pairs = [(skips[-1], width)] + [(width, width)] * (config.layers_per_block - 1)
            # diffusers' epsilons differ by block type; parity needs them as they are.
            eps = 1e-6 if heads[i] is not None else 1e-5
            path = f"down_blocks.{i}"
            down = Downsample if i < last else None
            self.down_blocks.append(DownBlock(pairs, heads[i], eps, config, path, down))
            skips += [width] * (config.layers_per_block + (i < last))
        self.mid_block = MidBlock(widths[-1], config.num_attention_heads[-1], config)
        self.up_blocks = nn.ModuleList()
        previous = widths[-1]
        for i in reversed(range(len(widths))):
            pairs = []
            for _ in range(config.layers_per_block + 1):
                pairs.append((previous + skips.pop(), widths[i]))
                previous = widths[i]
            path = f"up_blocks.{last - i}"
            # The way into the finest level leaves the coarse scale of spatial multiscaling, too.
            up = partial(Upsample, scale=2 * config.spatial_factor if i == 1 else 2) if i else None
            self.up_blocks.append(UpBlock(pairs, heads[i], 1e-6, config, path, up))
        self.conv_norm_out = nn.GroupNorm(32, widths[0], eps=1e-5)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor,
        added_time_ids: torch.Tensor,
    ) -> torch.Tensor:
        batch = sample.shape[0]
        time = torch.as_tensor(timestep, device=sample.device).reshape(-1).expand(batch)
        time = sinusoid(time, self.config.block_out_channels[0])
        added = sinusoid(added_time_ids.flatten(), self.config.addition_time_embed_dim)
        return self.forward_sinusoids(
            sample,
            time.to(sample.dtype),
            encoder_hidden_states,
            added.reshape(batch, -1).to(sample.dtype),
        )

    def forward_sinusoids(
        self,
        sample: torch.Tensor,
        timestep_sinusoid: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        added_time_sinusoids: torch.Tensor,
    ) -> torch.Tensor:
        """What is exported: the caller (cpp/runtime) computes the sinusoids.

        timestep_sinusoid [B, block_out_channels[0]], added_time_sinusoids [B, 3 * channels].
        """
        batch, frames = sample.shape[:2]
        self.config.check_frames(frames)
        time = self.time_embedding(timestep_sinusoid) + self.add_embedding(added_time_sinusoids)
        time = F.silu(time)  # every ResBlock applies it first: once is enough
        context = encoder_hidden_states

        # Between the first down and the last up block the features may be fewer (multiscaling).
        inside = frames // self.config.temporal_factor
        x = sample.flatten(0, 1)
        if self.channels_last:
            x = x.permute(0, 2, 3, 1).contiguous()
        skips = [self.conv_in(x)]
        for i, block in enumerate(self.down_blocks):
            skips += block(skips[-1], time, context, inside if i else frames)
            if i == 0:
                skips[-1] = enter_coarse_scale(skips[-1], self.config, self.channels_last)
        x = self.mid_block(skips[-1], time, context, inside)
        last = len(self.up_blocks) - 1
        for i, block in enumerate(self.up_blocks):
            if i == last:
                x = leave_coarse_scale(x, self.config)
            x = block(x, skips, time, context, frames if i == last else inside)
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        if self.channels_last:
            x = x.permute(0, 3, 1, 2).contiguous()
        return x.reshape(batch, frames, *x.shape[1:])
