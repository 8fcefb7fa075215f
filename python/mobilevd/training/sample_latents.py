"""Clips that a model makes, many at a time: for sheets, and as LADD's data (facts 7).

The same formulas as the runtime's sampler and ``evaluate.reference_sampler``, in the networks' own
type and with every clip's own first frame, frame rate and motion bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from ..models.preconditioning import denoised
from ..models.store import Model
from ..presets import Sampling
from .clip_noise import ClipNoise
from .conditioning import Conditioning, predict_v
from .data import Batch, ClipData
from .guidance import frame_guidance, guided_v
from .noise import sampling_sigmas
from .precision import autocast_where_native

SALT = 101  # no player of a run draws these numbers


@torch.no_grad()
def sample_latents(
    model: Model,
    batch: Batch,
    seed: int,
    indices: Sequence[int],
    sampling: Sampling | None = None,
) -> torch.Tensor:
    """Clean scaled latents [B, F, 4, h, w] for the batch's first frames and micro-conditions.

    ``sampling``: the model's own, unless given. Clip ``indices[i]`` of ``seed`` is the same in
    every batch.
    """
    s = sampling or model.preset.sampling
    noise = ClipNoise(seed, indices, SALT, batch.first.device)
    c = Conditioning(model, batch, noise, s.noise_aug)
    count, *shape = c.x0.shape
    one = torch.ones(count, device=c.x0.device)
    guidance = frame_guidance(s.guidance_min * one, s.guidance_max * one, shape[0])
    sigmas = sampling_sigmas(s).tolist()
    x = noise.normal(*shape) * (sigmas[0] ** 2 + 1) ** 0.5
    for sigma, following in pairwise(sigmas):
        level = sigma * one
        if s.guidance_max > 1:
            v = guided_v(model.unet, x, level, c, guidance)
        else:
            v = predict_v(model.unet, x, level, c)
        clean = denoised(x, v, level)
        if s.sampler == "consistency":
            x = clean + following * noise.normal(*shape) if following else clean
        else:
            x = clean + following / sigma * (x - clean)
    return x


@dataclass(frozen=True)
class SampledClips:
    """Clip ``index`` of ``data`` as ``teacher`` continues its first frame: LADD's "real" clips.

    To be kept by ``cache_latents``: a clip costs as many evaluations as ``sampling`` has. The
    guidance is the teacher's; so is the device that clips are made on.
    """

    teacher: Model
    data: ClipData
    sampling: Sampling | None = None
    seed: int = 0

    def batch(self, indices: Sequence[int]) -> Batch:
        model = self.teacher
        batch = self.data.batch(indices).to(model.device)
        with autocast_where_native(batch.first.device.type):
            latents = sample_latents(model, batch, self.seed, indices, self.sampling)
        latents = latents / model.preset.vae.latent_scale
        return Batch(batch.first, batch.fps, batch.motion_bucket, latents=latents)
