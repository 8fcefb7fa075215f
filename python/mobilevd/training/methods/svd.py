"""SVD's own objective: denoise a clip given its first frame (facts: mobilevd-paper 3.1).

Loss: E |v(c_in x, c_noise, c) - v*|^2 with x = x0 + sigma n, log sigma ~ N(0.7, 1.6^2), which is
SVD's weighted denoising loss (see ``preconditioning.v_target``).

Deviations: the image encoder is trained along (SVD's CLIP is frozen; ``mini`` has no CLIP);
picture and token are dropped together in 10 % of the clips and each alone in 5 %, so that
guidance has an unconditional branch.
"""

from __future__ import annotations

import torch
from torch import nn

from ...models.preconditioning import c_in, c_noise, v_target
from ...models.store import Model
from ..data import Batch, ClipSource, load_batch
from ..loop import Settings
from ..noise import COND_MEAN, COND_STD, P_MEAN, P_STD, log_normal

DROP_BOTH, DROP_ONE = 0.10, 0.05


class Conditioning:
    """A batch as the UNet takes it: latents x0, conditioning latents, token, micro-conditions."""

    def __init__(self, model: Model, batch: Batch, generator: torch.Generator) -> None:
        clips = batch.clips
        count, frames = clips.shape[:2]
        first = clips[:, 0]
        noise_aug = log_normal(count, COND_MEAN, COND_STD, generator)
        noise = torch.randn(first.shape, generator=generator)
        with torch.no_grad():
            latents = model.vae.encoder(clips.flatten(0, 1)).unflatten(0, (count, frames))
            image_latents = model.vae.encoder(first + noise_aug[:, None, None, None] * noise)
        # The conditioning latents are not scaled (SVD); the diffused ones are.
        self.x0 = latents.float() * model.preset.vae.latent_scale
        self.image_latents = image_latents.float()
        self.token = model.image_encoder(model.image_encoder.normalise(first))
        self.added_time_ids = torch.stack([batch.fps - 1, batch.motion_bucket, noise_aug], dim=1)

    def drop(self, generator: torch.Generator) -> None:
        u = torch.rand(len(self.x0), generator=generator)
        no_picture = (u < DROP_BOTH + DROP_ONE).float()[:, None, None, None]
        no_token = ((u < DROP_BOTH) | (u > 1 - DROP_ONE)).float()[:, None, None]
        self.image_latents = self.image_latents * (1 - no_picture)
        self.token = self.token * (1 - no_token)


def predict_v(
    unet: nn.Module, x: torch.Tensor, sigma: torch.Tensor, c: Conditioning
) -> torch.Tensor:
    """The UNet's v at noise level sigma [B]; x [B, F, 4, h, w]."""
    picture = c.image_latents[:, None].expand(-1, x.shape[1], -1, -1, -1)
    sample = torch.cat([c_in(sigma, x), picture], dim=2)
    return unet(sample, c_noise(sigma), c.token, c.added_time_ids)


class Svd:
    def __init__(self, model: Model, source: ClipSource) -> None:
        self.model, self.source = model, source
        model.vae.eval().requires_grad_(False)
        self.trainable = nn.ModuleDict({"unet": model.unet, "image_encoder": model.image_encoder})

    def loss(self, step: int, settings: Settings, generator: torch.Generator) -> torch.Tensor:
        preset, count = self.model.preset, settings.batch_size
        frames = preset.unet.num_frames
        batch = load_batch(self.source, settings.seed, step * count, count, frames, preset.size)
        c = Conditioning(self.model, batch, generator)
        c.drop(generator)
        sigma = log_normal(count, P_MEAN, P_STD, generator)
        noise = torch.randn(c.x0.shape, generator=generator)
        x = c.x0 + sigma.reshape(-1, 1, 1, 1, 1) * noise
        v = predict_v(self.model.unet, x, sigma, c)
        return (v.float() - v_target(c.x0, noise, sigma)).square().mean()
