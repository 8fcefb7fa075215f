"""The two autoencoders under one roof: which one a configuration means.

Common to both: ``encoder`` [N, 3, H, W] in [-1, 1] -> latents [N, L, H/f, W/f], ``decoder`` the way
back for the frames of one clip; the config has ``latent_channels``, ``factor``, ``latent_scale``.
"""

from __future__ import annotations

from typing import Any

import torch

from .svd_vae import SvdDecoder, SvdVae, SvdVaeConfig
from .tiny_vae import TinyVae, TinyVaeConfig

Vae = TinyVae | SvdVae
VaeConfig = TinyVaeConfig | SvdVaeConfig


def create_vae(config: VaeConfig) -> Vae:
    if isinstance(config, SvdVaeConfig):
        return SvdVae(config)
    vae, widths = TinyVae(config), config.temporal_decoder
    if widths:
        vae.decoder = SvdDecoder(SvdVaeConfig(config.latent_channels, widths))
    return vae


def decode_clips(vae: Vae, latents: torch.Tensor) -> torch.Tensor:
    """Unscaled latents [B, F, L, h, w] -> clips [B, F, 3, H, W] in about [-1, 1]."""
    flat, frames, decoder = latents.flatten(0, 1), latents.shape[1], vae.decoder
    made = decoder(flat, frames) if isinstance(decoder, SvdDecoder) else decoder(flat)
    return made.unflatten(0, latents.shape[:2])


def vae_config_from_dict(values: dict[str, Any]) -> VaeConfig:
    """The inverse of ``dataclasses.asdict`` after a trip through JSON; widths tell them apart."""
    entries: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if "block_out_channels" not in entries:
        return TinyVaeConfig(**entries)
    tiny = vae_config_from_dict(values["tiny_decoder"]) if values.get("tiny_decoder") else None
    return SvdVaeConfig(**{**entries, "tiny_decoder": tiny})
