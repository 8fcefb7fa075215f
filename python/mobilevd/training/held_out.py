"""Held-out figures: reconstruction PSNR of the autoencoder, loss of the denoiser by noise level."""

from __future__ import annotations

from typing import Any

import torch

from ..models.preconditioning import v_target
from ..models.store import Model
from ..models.vae import Vae
from ..psnr import psnr_db
from .clip_noise import ClipNoise
from .conditioning import Conditioning, predict_v
from .data import ClipSource, DrawnClips, Mixture, Size

SIGMAS = (0.05, 0.5, 2.0, 10.0, 100.0, 700.0)


@torch.no_grad()
def reconstruction_psnr(vae: Vae, source: ClipSource, size: Size, seed: int = 2) -> float:
    """Mean PSNR (dB) over 128 pictures."""
    images = DrawnClips(source, 1, size, seed).batch(range(128)).first
    return float(psnr_db(vae(images).clamp(-1, 1), images, 2.0, (1, 2, 3)).mean())


@torch.no_grad()
def denoising_loss(model: Model, sigma: float, clips: int, batch: int = 8, seed: int = 3) -> float:
    """E |v - v*|^2 at one noise level, SVD's weighted loss, over held-out clips."""
    preset, total = model.preset, 0.0
    data = DrawnClips(Mixture("test"), preset.unet.num_frames, preset.size, seed)
    for first in range(0, clips, batch):
        indices = range(first, min(first + batch, clips))
        noise = ClipNoise(seed, indices)
        c = Conditioning(model, data.batch(indices), noise)
        level = torch.full((len(indices),), sigma)
        x, n = c.noised(level, noise)
        v = predict_v(model.unet, x, level, c)
        error = (v - v_target(c.x0, n, level)).square().mean(dim=(1, 2, 3, 4))
        total += float(error.sum())
    return total / clips


def evaluate_model(model: Model, clips: int) -> list[dict[str, Any]]:
    rows = [
        {
            "name": "reconstruction_psnr_db",
            "value": reconstruction_psnr(model.vae, Mixture("test"), model.preset.size),
        }
    ]
    for sigma in SIGMAS:
        value = denoising_loss(model, sigma, clips)
        rows.append({"name": f"denoising_loss_sigma_{sigma:g}", "value": value, "clips": clips})
    return rows
