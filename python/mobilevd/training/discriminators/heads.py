"""Spatial and temporal heads with projection conditioning (SF-V 3.2 and figure 3).

A head is Conv(k4, s2, p1), GroupNorm(8), LeakyReLU, Conv(k1) to one logit per place, as in the
public code that SF-V inspired; its widths are only in a figure, so a head is as wide as its level.

Adaptions to small teachers, whose features say little by themselves: with ``blocks`` a head has
so many residual blocks in place of the strided convolution, and the levels whose grid has fewer
than 4 positions per side get none. Without, such a level has Conv(k3, s1, p1), as has a clip of
fewer than 4 frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ...models.config import UNetConfig
from ...models.embeddings import EmbeddingMLP, sinusoid

GROUPS = 8
STRIDED = 4  # the least side of a strided convolution
RESIDUAL_WIDTH = 64
PICTURE_POOL = 2  # the conditioning latents are seen as a grid of so many means per side


class Projection(nn.Module):
    """Logits of every place: features [N, C, ...] and conditions [N, D] -> [N, places].

    arXiv 1802.05637: psi(h) + <P c, h>, here divided by sqrt(C).
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.out = nn.Linear(channels, 1)
        self.projection = nn.Linear(condition, channels)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        h = F.leaky_relu(self.norm(x), 0.2).flatten(2).transpose(1, 2)
        projected = (h @ self.projection(condition)[:, :, None])[..., 0]
        return (self.out(h)[..., 0] + projected * h.shape[-1] ** -0.5).float()


def _strided(
    conv: type[nn.Conv1d] | type[nn.Conv2d], channels: int, size: int
) -> nn.Conv1d | nn.Conv2d:
    """As published; where fewer than STRIDED positions or frames would leave nothing, unstrided."""
    kernel, stride = (4, 2) if size >= STRIDED else (3, 1)
    return conv(channels, channels, kernel, stride, padding=1)


class SpatialHead(nn.Module):
    """Features [B, F, C, h, w] and conditions of the frames [B, F, D] -> logits [B, places]."""

    def __init__(self, channels: int, condition: int, side: int) -> None:
        super().__init__()
        self.conv = _strided(nn.Conv2d, channels, side)
        self.logits = Projection(channels, condition)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        h = self.conv(x.flatten(0, 1))
        return self.logits(h, condition.flatten(0, 1)).reshape(len(x), -1)


class TemporalHead(nn.Module):
    """As the spatial one, on the frames of each position; the clip's condition is [B, 1, D]."""

    def __init__(self, channels: int, condition: int, frames: int) -> None:
        super().__init__()
        self.conv = _strided(nn.Conv1d, channels, frames)
        self.logits = Projection(channels, condition)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        batch, _, _, height, width = x.shape
        h = self.conv(x.permute(0, 3, 4, 2, 1).flatten(0, 2))
        per_position = condition[:, 0].repeat_interleave(height * width, dim=0)
        return self.logits(h, per_position).reshape(batch, -1)


class ResidualHead(nn.Module):
    """Conv(k1), blocks of x + two of (GroupNorm, LeakyReLU, Conv(k3)), the logits.

    A spatial head's convolutions see one frame; of a temporal head's blocks the second one sees a
    position's three frames, as in SVD's own blocks. Called as the published heads.
    """

    def __init__(self, channels: int, condition: int, blocks: int, temporal: bool) -> None:
        super().__init__()
        width = RESIDUAL_WIDTH
        last = (3, 1, 1) if temporal else (1, 3, 3)
        self.conv_in = nn.Conv3d(channels, width, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(
                    layer
                    for kernel in ((1, 3, 3), last)
                    for layer in (
                        nn.GroupNorm(GROUPS, width),
                        nn.LeakyReLU(0.2),
                        nn.Conv3d(width, width, kernel, padding="same"),
                    )
                )
            )
            for _ in range(blocks)
        )
        self.logits = Projection(width, condition)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        batch, frames = x.shape[:2]
        h = self.conv_in(x.transpose(1, 2))
        for block in self.blocks:
            h = h + block(h)
        per_frame = condition.expand(-1, frames, -1).flatten(0, 1)
        return self.logits(h.transpose(1, 2).flatten(0, 1), per_frame).reshape(batch, -1)


class DiscriminatorHeads(nn.Module):
    """A spatial and, unless left out, a temporal head per level.

    ``latent_size`` (height, width) and ``frames`` decide the kernels (see above); the weights
    depend on them only there.
    """

    def __init__(
        self,
        config: UNetConfig,
        latent_size: tuple[int, int],
        with_temporal_heads: bool = True,
        blocks: int = 0,
    ) -> None:
        super().__init__()
        widths = config.block_out_channels
        self.channels = widths[0]
        picture = (config.in_channels - config.out_channels) * PICTURE_POOL**2
        inputs = config.cross_attention_dim + picture + self.channels
        condition = 2 * widths[0]
        self.condition = EmbeddingMLP(inputs, condition)
        self.frame = EmbeddingMLP(self.channels, condition)
        sides = [min(latent_size) // 2**level for level in range(len(widths))]
        self.levels = [n for n, side in enumerate(sides) if not blocks or n == 0 or side >= STRIDED]
        self.spatial, self.temporal = nn.ModuleList(), nn.ModuleList()
        for n in self.levels:
            width = widths[n]
            self.spatial.append(
                ResidualHead(width, condition, blocks, temporal=False)
                if blocks
                else SpatialHead(width, condition, sides[n])
            )
            if with_temporal_heads:
                self.temporal.append(
                    ResidualHead(width, condition, blocks, temporal=True)
                    if blocks
                    else TemporalHead(width, condition, config.num_frames)
                )

    def forward(
        self,
        features: Sequence[torch.Tensor],
        timestep: torch.Tensor,
        token: torch.Tensor,
        image_latents: torch.Tensor,
    ) -> list[torch.Tensor]:
        """Logits [B, places] of each head; features [B*F, C, h, w], the rest as the UNet's."""
        batch = len(token)
        clips = [features[n].unflatten(0, (batch, -1)) for n in self.levels]
        picture = F.adaptive_avg_pool2d(image_latents, PICTURE_POOL).flatten(1)
        time = sinusoid(timestep, self.channels)
        clip = self.condition(torch.cat([token[:, 0], picture, time], dim=1))[:, None]
        index = torch.arange(clips[0].shape[1], device=clip.device)
        frame = self.frame(sinusoid(index, self.channels))  # only spatial heads need to be told
        logits = [head(x, clip + frame) for head, x in zip(self.spatial, clips, strict=True)]
        return logits + [head(x, clip) for head, x in zip(self.temporal, clips, strict=False)]
