"""The tiny autoencoder: L1 + L2 on pixels, with latents kept small and robust to noise.

Deviation from TAESD, which distils SVD's autoencoder: ``mini`` has no teacher, so encoder and
decoder are trained together from pixels.
"""

from __future__ import annotations

import torch

from ...models.tiny_vae import TinyVae
from ..clip_noise import ClipNoise
from ..data import Batch, ClipSource, DrawnClips, Size
from ..method import Loss, Method, Player

LATENT_PENALTY = 1e-3  # keeps |latent| within the decoder's tanh(z/3)*3
LATENT_NOISE = 0.03  # the denoiser's residual error must not show


def pixel_loss(error: torch.Tensor, penalty: torch.Tensor | float = 0.0) -> Loss:
    """L1 + L2 of the pixels, and what else there is to pay."""
    mse = error.square().mean()
    return Loss(error.abs().mean() + mse + penalty, {"mse": mse})


class Autoencoder(Method):
    """Pairs of frames at the preset's size and at twice of it: one VAE serves both of `mini`'s."""

    result = "vae"

    def __init__(self, vae: TinyVae) -> None:
        self.vae = vae
        self.players = (Player("vae", vae, weight_decay=0.0),)

    def loss(self, player: str, batch: Batch, noise: ClipNoise) -> Loss:
        assert batch.clips is not None
        image = batch.clips.flatten(0, 1)
        latents = self.vae.encoder(image)
        frames = batch.clips.shape[1]
        drawn = noise.normal(frames, *latents.shape[1:]).flatten(0, 1)  # some numbers have no clip
        error = self.vae.decoder(latents + LATENT_NOISE * drawn[: len(latents)]).float() - image
        penalty = latents.float().square().mean()
        return pixel_loss(error, LATENT_PENALTY * penalty)


@torch.no_grad()
def latent_scale(vae: TinyVae, source: ClipSource, size: Size, seed: int = 1) -> float:
    """1 / standard deviation of the latents over 128 pictures."""
    images = DrawnClips(source, 1, size, seed).batch(range(128)).first
    return float(1.0 / vae.encoder(images).std())
