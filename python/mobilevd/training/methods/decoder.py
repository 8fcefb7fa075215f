"""A decoder of SVD's kind, which sees the frames' neighbours, on a tiny encoder's frozen latents.

The paper sets phones' tiny decoder against SVD's own (its ablations). ``mini`` has no SVD decoder:
this trains one, with the loss and the latent noise of the tiny autoencoder, clip by clip.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ...models.store import Model
from ...models.svd_vae import SvdDecoder
from ...models.tiny_vae import TinyVaeConfig
from ...models.vae import create_vae
from ..clip_noise import ClipNoise
from ..data import Batch
from ..method import Loss, Method, Player
from .autoencoder import LATENT_NOISE, pixel_loss

WIDTHS = (32, 32, 64, 64)  # by level, finest first: 2.6 times the FLOPs of mini's tiny decoder


class Decoder(Method):
    """``model`` gets the decoder, with new weights; nothing else of it is trained."""

    result = "decoder"

    def __init__(self, model: Model, widths: tuple[int, ...] = WIDTHS) -> None:
        config = model.preset.vae
        if not isinstance(config, TinyVaeConfig):
            raise ValueError(f"preset {model.preset.name} has SVD's decoder: nothing to train")
        config = replace(config, temporal_decoder=widths)
        encoder, model.vae = model.vae.encoder, create_vae(config)
        model.vae.encoder = encoder.eval().requires_grad_(False)
        model.preset = replace(model.preset, vae=config)
        self.vae = model.vae
        self.players = (Player("decoder", self.vae.decoder, weight_decay=0.0),)

    def loss(self, player: str, batch: Batch, noise: ClipNoise) -> Loss:
        assert batch.clips is not None
        count, frames = batch.clips.shape[:2]
        image, decoder = batch.clips.flatten(0, 1), self.vae.decoder
        assert isinstance(decoder, SvdDecoder)
        with torch.no_grad():
            latents = self.vae.encoder(image).float().unflatten(0, (count, frames))
            latents = latents + LATENT_NOISE * noise.normal(*latents.shape[1:])
        error = decoder(latents.flatten(0, 1), frames).float() - image
        return pixel_loss(error)
