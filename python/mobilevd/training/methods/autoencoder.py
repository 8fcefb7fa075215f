"""The tiny autoencoder: L1 + L2 on pixels, with latents kept small and robust to noise.

Deviation from TAESD, which distils SVD's autoencoder: ``mini`` has no teacher, so encoder and
decoder are trained together from pixels.
"""

from __future__ import annotations

import torch

from ...models.tiny_vae import TinyVae
from ..data import ClipSource, Size, load_batch
from ..loop import Settings

LATENT_PENALTY = 1e-3  # keeps |latent| within the decoder's tanh(z/3)*3
LATENT_NOISE = 0.03  # the denoiser's residual error must not show


class Autoencoder:
    """Odd steps see pictures of twice the size, a quarter as many: one VAE serves both presets."""

    def __init__(self, vae: TinyVae, source: ClipSource, size: Size) -> None:
        self.trainable, self.source, self.size = vae, source, size

    def loss(self, step: int, settings: Settings, generator: torch.Generator) -> torch.Tensor:
        first = step * settings.batch_size
        large = step % 2
        count = settings.batch_size // (4 if large else 1)
        size = (self.size[0] * (1 + large), self.size[1] * (1 + large))
        batch = load_batch(self.source, settings.seed, first, max(1, count), 2, size)
        image = batch.clips.flatten(0, 1)
        latents = self.trainable.encoder(image)
        noise = torch.randn(latents.shape, generator=generator) * LATENT_NOISE
        error = self.trainable.decoder(latents + noise).float() - image
        return error.abs().mean() + error.square().mean() + LATENT_PENALTY * latents.square().mean()


@torch.no_grad()
def latent_scale(vae: TinyVae, source: ClipSource, size: Size, seed: int = 1) -> float:
    """1 / standard deviation of the latents over 128 pictures."""
    images = load_batch(source, seed, 0, 128, 1, size).clips.flatten(0, 1)
    return float(1.0 / vae.encoder(images).std())
