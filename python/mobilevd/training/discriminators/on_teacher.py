"""Frozen encoder and trained heads together, on clips at a noise level."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...models.preconditioning import c_noise
from ...models.store import Model
from ..conditioning import Conditioning, unet_input
from .encoder import FrozenEncoder
from .heads import DiscriminatorHeads


class TeacherDiscriminator:
    """SF-V's discriminator. ``heads`` is what a player trains; the encoder stays as it is.

    The weights of the heads come from ``seed`` alone, so that all processes start alike.
    """

    def __init__(
        self,
        teacher: Model,
        with_temporal_heads: bool = True,
        checkpointing: bool = False,
        seed: int = 0,
        blocks: int = 0,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = DiscriminatorHeads(
                teacher.unet.config, teacher.preset.latent_size, with_temporal_heads, blocks
            )
        self.encoder = FrozenEncoder(teacher.unet, checkpointing, self.heads.levels[-1] + 1)

    def features(self, x: torch.Tensor, sigma: torch.Tensor, c: Conditioning) -> list[torch.Tensor]:
        """Of x [B, F, 4, h, w] that already has noise of level sigma [B]."""
        return self.encoder(unet_input(x, sigma, c), c_noise(sigma), c.token, c.added_time_ids)

    def logits(
        self, features: list[torch.Tensor], sigma: torch.Tensor, c: Conditioning
    ) -> list[torch.Tensor]:
        """[B, places] per head."""
        return self.heads(features, c_noise(sigma), c.token, c.image_latents)

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, c: Conditioning) -> list[torch.Tensor]:
        return self.logits(self.features(x, sigma, c), sigma, c)


def twice_differentiable() -> AbstractContextManager[None]:
    """Fused attention has no second derivative, which an exact R1 through the encoder needs."""
    return sdpa_kernel(SDPBackend.MATH)
