"""A batch as the UNet takes it, and the UNet's prediction at a noise level."""

from __future__ import annotations

import torch
from torch import nn

from ..models.preconditioning import c_in, c_noise, denoised
from ..models.store import Model
from .clip_noise import ClipNoise
from .data import Batch
from .noise import COND_MEAN, COND_STD, log_normal

DROP_BOTH, DROP_ONE = 0.10, 0.05


class Conditioning:
    """Clean latents ``x0`` [B, F, 4, h, w], scaled; picture, token and micro-conditions.

    The picture is the first frame with noise of its own level (which the UNet is told), through
    the VAE and not scaled, as SVD has it.
    """

    def __init__(
        self, model: Model, batch: Batch, noise: ClipNoise, level: float | None = None
    ) -> None:
        """``level``: of the picture's noise; drawn where it is None."""
        first = batch.first
        noise_aug = log_normal(noise, COND_MEAN, COND_STD)
        if level is not None:
            noise_aug = torch.full_like(noise_aug, level)
        noisy = first + noise_aug[:, None, None, None] * noise.normal(*first.shape[1:])
        with torch.no_grad():
            self.image_latents = model.vae.encoder(noisy).float()
            latents = batch.latents
            if latents is None:
                assert batch.clips is not None
                count, frames = batch.clips.shape[:2]
                flat = model.vae.encoder(batch.clips.flatten(0, 1))
                latents = flat.unflatten(0, (count, frames))
        self.x0 = latents.float() * model.preset.vae.latent_scale
        self.token = model.image_encoder(model.image_encoder.normalise(first))
        self.added_time_ids = torch.stack([batch.fps - 1, batch.motion_bucket, noise_aug], dim=1)

    def drop(self, noise: ClipNoise) -> None:
        """Picture and token together in 10 % of the clips and each alone in 5 %, for guidance."""
        u = noise.uniform()
        no_picture = (u < DROP_BOTH + DROP_ONE).float()[:, None, None, None]
        no_token = ((u < DROP_BOTH) | (u > 1 - DROP_ONE)).float()[:, None, None]
        self.image_latents = self.image_latents * (1 - no_picture)
        self.token = self.token * (1 - no_token)

    def noised(self, sigma: torch.Tensor, noise: ClipNoise) -> tuple[torch.Tensor, torch.Tensor]:
        """(x0 + sigma n, n) with n ~ N(0, 1); sigma [B]."""
        n = noise.normal(*self.x0.shape[1:])
        return self.x0 + sigma.reshape(-1, 1, 1, 1, 1) * n, n


def unet_input(x: torch.Tensor, sigma: torch.Tensor, c: Conditioning) -> torch.Tensor:
    """c_in x beside the picture's latents: [B, F, 8, h, w]."""
    picture = c.image_latents[:, None].expand(-1, x.shape[1], -1, -1, -1)
    return torch.cat([c_in(sigma, x), picture], dim=2)


def predict_v(
    unet: nn.Module, x: torch.Tensor, sigma: torch.Tensor, c: Conditioning
) -> torch.Tensor:
    """The UNet's v at noise level sigma [B]; x [B, F, 4, h, w]."""
    return unet(unet_input(x, sigma, c), c_noise(sigma), c.token, c.added_time_ids).float()


def predict_x0(
    unet: nn.Module, x: torch.Tensor, sigma: torch.Tensor, c: Conditioning
) -> torch.Tensor:
    """D(x; sigma) = c_skip x + c_out v: the clip the UNet sees in x."""
    return denoised(x, predict_v(unet, x, sigma, c), sigma)
