"""The teacher's down path as a feature network (SF-V 3.2, MoViE algorithm 2)."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ...models.config import UNetConfig
from ...models.embeddings import sinusoid
from ...models.unet import UNet


def check_uncompressed(config: UNetConfig) -> None:
    """ValueError for a UNet that is no teacher. Collapsed cross-attention is lossless: welcome."""
    compressed = {
        "temporal multiscaling": config.temporal_factor > 1,
        "spatial multiscaling": config.spatial_factor > 1,
        "pruned temporal blocks": config.temporal_blocks is not None,
        "funnels": bool(config.attention_widths or config.resblock_widths),
        "truncated layers": bool(config.linear_ranks),
    }
    found = [name for name, there in compressed.items() if there]
    if found:
        raise ValueError(
            f"the discriminator needs the uncompressed teacher, and this UNet has "
            f"{', '.join(found)}: give the model that compression started from"
        )


class FrozenEncoder:
    """Features after each level of the teacher's down path, before its downsampler.

    SF-V says "after each down block"; before the downsampler a level keeps its own resolution,
    which the small grids of ``mini`` need. Gradients pass through to the sample; the weights get
    none. Not an ``nn.Module``: the teacher's weights are no part of a player.
    """

    def __init__(
        self, teacher: UNet, checkpointing: bool = False, levels: int | None = None
    ) -> None:
        """``levels``: how many are wanted, from the finest on; default: all."""
        check_uncompressed(teacher.config)
        self.unet, self.checkpointing = teacher.eval().requires_grad_(False), checkpointing
        self.levels = levels

    def __call__(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        context: torch.Tensor,
        added_time_ids: torch.Tensor,
    ) -> list[torch.Tensor]:
        """Called as the UNet; level k gives [B*F, C_k, h / 2^k, w / 2^k]."""
        unet, (batch, frames) = self.unet, sample.shape[:2]
        config = unet.config
        time = sinusoid(timestep, config.block_out_channels[0])
        added = sinusoid(added_time_ids.flatten(), config.addition_time_embed_dim)
        time = F.silu(unet.time_embedding(time) + unet.add_embedding(added.reshape(batch, -1)))
        x, features = unet.conv_in(sample.flatten(0, 1)), []
        for block in unet.down_blocks[: self.levels]:
            if self.checkpointing and torch.is_grad_enabled():
                outputs = checkpoint(block, x, time, context, frames, use_reentrant=False)
            else:
                outputs = block(x, time, context, frames)
            features.append(outputs[-1] if block.downsampler is None else outputs[-2])
            x = outputs[-1]
        return features
