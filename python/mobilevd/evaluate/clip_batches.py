"""Clips of a model in batches, and how they are made comparable: the same for every model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from ..compress.cross_attention import collapse_cross_attention
from ..models.store import Model, weights_digest
from ..models.vae import decode_clips
from ..training.clip_noise import ClipNoise
from ..training.data import Batch, Size
from ..training.precision import autocast_where_native
from .reference_sampler import sample_latents

COMMON_SIZE: Size = (64, 64)


@dataclass(frozen=True)
class Sampler:
    """A model as it is sampled in an evaluation; ``digest`` names its weights and sampling."""

    model: Model
    digest: str

    @property
    def device(self) -> torch.device:
        return self.model.device

    @torch.inference_mode()
    def clips(self, batch: Batch, noise: ClipNoise) -> torch.Tensor:
        """[B, F, 3, H, W] in [-1, 1] from a batch's pictures, fps and motion buckets.

        Each clip draws from its own generator, so a clip is the same in any batch. Sigmas and clips
        stay in float64; the networks compute in bf16 where the hardware has it.
        """
        model, device = self.model, self.device
        preset, sampling = model.preset, model.preset.sampling
        first = batch.first.to(device)
        augmented = first + sampling.noise_aug * noise.normal(*first.shape[1:])
        ids = torch.stack([batch.fps - 1, batch.motion_bucket], 1).to(device)
        shape = (preset.unet.num_frames, preset.vae.latent_channels, *preset.latent_size)
        with autocast_where_native(device.type):
            latents = sample_latents(
                model.unet,
                model.image_encoder(model.image_encoder.normalise(first)),
                model.vae.encoder(augmented),
                noise.normal(*shape),
                sampling,
                renoise=lambda step: noise.normal(*shape),
                ids=F.pad(ids, (0, 1), value=sampling.noise_aug),
            )
            clips = decode_clips(model.vae, (latents / preset.vae.latent_scale).float())
        return clips.float()


def sampler_of(model: Model, steps: int | None = None) -> Sampler:
    """The model in evaluation mode, with ``steps`` sampling steps (default: its preset's).

    Its cross-attention is collapsed, which changes nothing but the time (facts 2.2): a model and
    what collapsing made of it have one digest, so that clips of both are made once.
    """
    preset = model.preset
    if steps is not None:
        preset = replace(preset, sampling=replace(preset.sampling, steps=steps))
    unet = model.unet
    if not unet.config.collapsed_cross_attention:
        unet = collapse_cross_attention(unet)
    preset = replace(preset, unet=unet.config)
    model = replace(model, preset=preset, unet=unet)
    for network in model.networks().values():
        network.eval()
    return Sampler(model, digest_of(model))


def digest_of(model: Model) -> str:
    """sha256 of the preset and all weights."""
    return weights_digest(model.networks(), json.dumps(model.preset.to_dict(), sort_keys=True))


def as_video(clips: torch.Tensor) -> torch.Tensor:
    """In [-1, 1] and in steps of 8 bits, as a file would hold them; float32 on the CPU."""
    return ((clips.float().cpu().clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def reduced(clips: torch.Tensor, size: Size = COMMON_SIZE) -> torch.Tensor:
    """[..., 3, H, W] -> [..., 3, *size] by area, in steps of 8 bits again."""
    if clips.shape[-2:] == size:
        return clips
    flat = F.interpolate(clips.flatten(0, -4), size, mode="area")
    return as_video(flat.unflatten(0, clips.shape[:-3]))
