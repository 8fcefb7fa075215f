"""Held-out figures: reconstruction PSNR of the autoencoder, loss of the denoiser by noise level."""

from __future__ import annotations

from typing import Any

import torch

from ..models.preconditioning import v_target
from ..models.store import Model
from ..models.vae import Vae
from .data import ClipSource, Mixture, Size, load_batch
from .methods.svd import Conditioning, predict_v

SIGMAS = (0.05, 0.5, 2.0, 10.0, 100.0, 700.0)


@torch.no_grad()
def reconstruction_psnr(vae: Vae, source: ClipSource, size: Size, seed: int = 2) -> float:
    """Mean PSNR (dB, peak 1 in [0, 1]) over 128 pictures."""
    images = load_batch(source, seed, 0, 128, 1, size).clips.flatten(0, 1)
    error = (vae(images).clamp(-1, 1) - images) / 2
    mse = error.square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    return float((-10 * mse.log10()).mean())


@torch.no_grad()
def denoising_loss(model: Model, sigma: float, clips: int, batch: int = 8, seed: int = 3) -> float:
    """E |v - v*|^2 at one noise level, SVD's weighted loss, over held-out clips."""
    preset, source, total = model.preset, Mixture("test"), 0.0
    for first in range(0, clips, batch):
        count = min(batch, clips - first)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + first)
        data = load_batch(source, seed, first, count, preset.unet.num_frames, preset.size)
        c = Conditioning(model, data, generator)
        noise = torch.randn(c.x0.shape, generator=generator)
        level = torch.full((count,), sigma)
        v = predict_v(model.unet, c.x0 + sigma * noise, level, c)
        error = (v - v_target(c.x0, noise, level)).square().mean(dim=(1, 2, 3, 4))
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
