"""Spatial and temporal heads with projection conditioning (SF-V 3.2 and figure 3).

A head is Conv(k4, s2, p1), GroupNorm(8), LeakyReLU, Conv(k1) to one logit per place, as in the
public code that SF-V inspired; its widths are only in a figure, so a head is as wide as its level.

Adaption to tiny grids: where a level has fewer than 4 positions per side (or a clip fewer than 4
frames), Conv(k3, s1, p1) takes the place of the strided one, which would leave nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ...models.config import UNetConfig
from ...models.embeddings import EmbeddingMLP, sinusoid

GROUPS = 8
PICTURE_POOL = 2  # the conditioning latents are seen as a grid of so many means per side


class Head(nn.Module):
    """Logits of every place: features [N, C, ...] and conditions [N, D] -> [N, places].

    Projection (arXiv 1802.05637): psi(h) + <P c, h>, here divided by sqrt(C).
    """

    def __init__(self, channels: int, condition: int, dimensions: int, size: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv1d
        kernel, stride = (4, 2) if size >= 4 else (3, 1)
        self.conv = conv(channels, channels, kernel, stride, padding=1)
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.out = nn.Linear(channels, 1)
        self.projection = nn.Linear(condition, channels)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        h = F.leaky_relu(self.norm(self.conv(x)), 0.2).flatten(2).transpose(1, 2)
        projected = (h @ self.projection(condition)[:, :, None])[..., 0]
        return (self.out(h)[..., 0] + projected * h.shape[-1] ** -0.5).float()


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
        self.spatial = nn.ModuleList(
            Head(width, condition, 2, side) for width, side in zip(widths, sides, strict=True)
        )
        self.temporal = nn.ModuleList(
            Head(width, condition, 1, config.num_frames) for width in widths if with_temporal_heads
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
        frames = len(features[0]) // batch
        picture = F.adaptive_avg_pool2d(image_latents, PICTURE_POOL).flatten(1)
        time = sinusoid(timestep, self.channels)
        clip = self.condition(torch.cat([token[:, 0], picture, time], dim=1))
        index = torch.arange(frames, device=clip.device)
        frame = self.frame(sinusoid(index, self.channels))  # only spatial heads need to be told
        per_frame = (clip[:, None] + frame).flatten(0, 1)
        logits = [
            head(x, per_frame).reshape(batch, -1)
            for head, x in zip(self.spatial, features, strict=True)
        ]
        for head, x in zip(self.temporal, features, strict=False):
            _, c, h, w = x.shape
            x = x.reshape(batch, frames, c, h * w).permute(0, 3, 2, 1).flatten(0, 1)
            per_position = clip.repeat_interleave(h * w, dim=0)
            logits.append(head(x, per_position).reshape(batch, -1))
        return logits
