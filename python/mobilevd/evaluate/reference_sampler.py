"""The sampler in plain PyTorch: what "SVD, 50 evaluations" means, equal to diffusers' pipeline.

It lives in ``evaluate`` because it is the baseline that models are held against: the product
samples in C++ (``cpp/runtime/sampler.cc``, the same formulas), training for its sheets and LADD's
clips in the networks' own type (``training/sample_latents.py``).

EDM with v-prediction and sigma_data 1, Karras' noise levels, Euler steps or multistep consistency,
guidance that grows linearly over the frames (facts: mobilevd-paper 3.1 and 5). Sigmas and clips
are float64; the UNet sees its own type. All noise is given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from PIL import Image
from torch import nn

from ..models.parts import Parts
from ..models.preconditioning import c_in, c_noise, denoised
from ..presets import Sampling
from ..training.noise import sampling_sigmas
from .clip_preprocessing import clip_input, vae_input

# Step -> N(0, 1) noise of the latents' shape, for consistency sampling.
Renoise = Callable[[int], torch.Tensor]


def added_time_ids(sampling: Sampling) -> torch.Tensor:
    """Micro-conditioning [1, 3]; SVD was trained on fps - 1."""
    return torch.tensor([[sampling.fps - 1, sampling.motion_bucket, sampling.noise_aug]])


@torch.no_grad()
def sample_latents(
    unet: nn.Module,
    token: torch.Tensor,
    image_latents: torch.Tensor,
    noise: torch.Tensor,
    sampling: Sampling,
    renoise: Renoise | None = None,
    ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """N(0, 1) ``noise`` [B, F, L, h, w] -> clean latents of that shape, float64.

    token [B, 1, D] and image_latents [B, L, h, w] condition all frames; the unconditional branch
    sees zeros for both. ``ids`` [B, 3], each clip's micro-conditioning; default: ``sampling``'s.
    """
    if sampling.sampler == "consistency" and sampling.steps > 1 and renoise is None:
        raise ValueError("consistency sampling of several steps needs renoise")
    batch, frames = noise.shape[:2]
    dtype = next(unet.parameters()).dtype
    given = added_time_ids(sampling).expand(batch, -1) if ids is None else ids
    ids = given.to(noise.device, dtype)
    picture = image_latents[:, None].expand(-1, frames, -1, -1, -1).to(dtype)
    token = token.to(dtype)
    guided = sampling.guidance_max > 1
    guidance = torch.linspace(
        sampling.guidance_min,
        sampling.guidance_max,
        frames,
        dtype=torch.float64,
        device=noise.device,
    ).view(1, frames, 1, 1, 1)

    def velocity(x: torch.Tensor, sigma: torch.Tensor, conditional: bool) -> torch.Tensor:
        on = 1.0 if conditional else 0.0
        sample = torch.cat([c_in(sigma, x).to(dtype), picture * on], dim=2)
        return unet(sample, c_noise(sigma).to(dtype), token * on, ids).double()

    sigmas = sampling_sigmas(sampling).to(noise.device)
    x = noise.double() * (sigmas[0] ** 2 + 1).sqrt()
    for step, (sigma, following) in enumerate(pairwise(sigmas)):
        v = velocity(x, sigma, True)
        if guided:
            unconditional = velocity(x, sigma, False)
            v = unconditional + guidance * (v - unconditional)
        clean = denoised(x, v, sigma)
        if sampling.sampler == "euler":
            x = x + (x - clean) / sigma * (following - sigma)
        elif following > 0 and renoise is not None:
            x = clean + following * renoise(step).double()
        else:
            x = clean
    return x


@torch.no_grad()
def conditioning(
    model: Parts, picture: Image.Image, augmentation: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture's token [1, 1, D] and latents [1, L, h, w].

    ``augmentation`` [1, 3, H, W], N(0, 1), is added to the picture times ``sampling.noise_aug``.
    """
    preset = model.preset
    encoder = model.part("image_encoder").image_encoder
    token = encoder(clip_input(picture, preset.image_encoder).to(next(encoder.parameters()).dtype))
    del encoder  # a large one makes room for the next
    image = vae_input(picture, preset.height, preset.width)
    image = image + preset.sampling.noise_aug * augmentation
    vae = model.part("vae").vae
    return token, vae.encoder(image.to(next(vae.parameters()).dtype))


@torch.no_grad()
def decode(model: Parts, latents: torch.Tensor) -> torch.Tensor:
    """Clean latents [1, F, L, h, w] -> frames [F, 3, H, W] in [0, 1], decoded as one piece."""
    vae = model.part("vae").vae
    scaled = latents[0] / model.preset.vae.latent_scale
    frames = vae.decoder(scaled.to(next(vae.parameters()).dtype))
    return (frames / 2 + 0.5).clamp(0, 1)


def generate(
    model: Parts,
    picture: Image.Image,
    noise: torch.Tensor,
    augmentation: torch.Tensor,
    renoise: Renoise | None = None,
) -> torch.Tensor:
    """A clip [F, 3, H, W] in [0, 1] of the preset's size; one network of ``model`` after another.

    ``noise`` [1, F, L, h, w] becomes the clip; ``augmentation`` is ``conditioning``'s; N(0, 1).
    """
    token, image_latents = conditioning(model, picture, augmentation)
    unet = model.part("unet").unet
    latents = sample_latents(unet, token, image_latents, noise, model.preset.sampling, renoise)
    del unet
    return decode(model, latents)
