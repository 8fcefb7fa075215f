"""Clips that a teacher makes, many at a time: LADD's synthetic data (facts: mobilevd-paper 7).

A clip keeps its first frame, frame rate and motion bucket and loses its own frames for those that
Euler steps with guidance make of it. :class:`SampledClips` is data like any other, to be kept by
``cache_latents`` (a clip costs 50 evaluations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from ..models.preconditioning import denoised
from ..models.store import Model
from ..presets import Sampling
from .clip_noise import ClipNoise
from .conditioning import Conditioning, predict_v
from .data import Batch, ClipData
from .guidance import frame_guidance, guided_v
from .noise import karras_grid


@torch.no_grad()
def euler_latents(
    unet: nn.Module, c: Conditioning, noise: torch.Tensor, sampling: Sampling
) -> torch.Tensor:
    """N(0, 1) ``noise`` [B, F, 4, h, w] -> clean scaled latents of that shape, as the sampler of
    ``evaluate`` and the runtime make them; micro-conditions and picture's noise are c's own."""
    if sampling.sampler != "euler":
        raise ValueError(f"synthetic clips need Euler steps, not {sampling.sampler}")
    count, frames = noise.shape[:2]
    one = torch.ones(count, device=noise.device)
    guidance = frame_guidance(sampling.guidance_min * one, sampling.guidance_max * one, frames)
    sigmas = [*karras_grid(sampling.steps).tolist(), 0.0]
    x = noise * (sigmas[0] ** 2 + 1) ** 0.5
    for sigma, following in pairwise(sigmas):
        level = sigma * one
        if sampling.guidance_max > 1:
            v = guided_v(unet, x, level, c, guidance)
        else:
            v = predict_v(unet, x, level, c)
        x = x + (x - denoised(x, v, level)) / sigma * (following - sigma)
    return x


@dataclass(frozen=True)
class SampledClips:
    """Clip ``index`` of ``data`` as ``teacher`` continues its first frame; the same every time."""

    teacher: Model
    data: ClipData
    sampling: Sampling
    seed: int = 0

    @torch.no_grad()
    def batch(self, indices: Sequence[int]) -> Batch:
        batch, model = self.data.batch(indices), self.teacher
        noise = ClipNoise(self.seed, indices, salt=SALT)
        c = Conditioning(model, batch, noise)
        n = noise.normal(*c.x0.shape[1:])
        latents = euler_latents(model.unet, c, n, self.sampling) / model.preset.vae.latent_scale
        return Batch(batch.first, batch.fps, batch.motion_bucket, latents=latents)


SALT = 101  # no player of a run draws these numbers
