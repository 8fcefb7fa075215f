"""``mobilevd train``: method by name, run folder, finished model folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..models.store import Model, load_network, save_model, save_tensors, with_latent_scale
from ..models.tiny_vae import TinyVae
from ..presets import Preset, get_preset
from .data import Mixture
from .loop import Run, Settings
from .methods.autoencoder import Autoencoder, latent_scale
from .methods.svd import Svd

# Defaults of one finished run of each method for `mini`; the CLI overrides them one by one.
DEFAULTS: Mapping[str, Settings] = {
    "autoencoder": Settings(steps=1200, batch_size=24, learning_rate=2e-3, weight_decay=0.0),
    "svd": Settings(steps=2400, batch_size=8, learning_rate=1e-3),
}


def train_autoencoder(
    preset: Preset, output: Path, settings: Settings, minutes: float | None
) -> bool:
    """Trains the VAE and writes ``vae.safetensors``; False if stopped early."""
    torch.manual_seed(settings.seed)
    vae = Model.fresh(preset).vae
    if not isinstance(vae, TinyVae):
        raise ValueError(f"preset {preset.name} takes SVD's autoencoder as it is: nothing to train")
    run = Run(output, Autoencoder(vae, Mixture("train"), preset.size), settings)
    finished = run.train(minutes)
    vae.load_state_dict(run.ema)
    save_tensors(output / "vae.safetensors", vae.state_dict())
    return finished


def train_svd(
    preset: Preset, output: Path, settings: Settings, minutes: float | None, vae: Path
) -> bool:
    """Trains UNet and image encoder on a trained VAE; ``output/model`` is the model folder."""
    torch.manual_seed(settings.seed)
    model = Model.fresh(preset)
    load_network(model.vae, vae)
    if isinstance(model.vae, TinyVae):  # SVD's has its own scale
        scale = latent_scale(model.vae, Mixture("train"), preset.size)
        model.preset = with_latent_scale(preset, scale)
    checksum = hashlib.sha256(vae.read_bytes()).hexdigest()
    run = Run(output, Svd(model, Mixture("train")), settings, {"vae_sha256": checksum})
    finished = run.train(minutes)
    nn.ModuleDict({"unet": model.unet, "image_encoder": model.image_encoder}).load_state_dict(
        run.ema
    )
    save_model(model, output / "model", torch.float16)
    return finished


def train(
    method: str,
    preset_name: str,
    output: Path,
    settings: Settings,
    minutes: float | None = None,
    vae: Path | None = None,
) -> str:
    """Runs or resumes a method; returns one line on the outcome."""
    preset = get_preset(preset_name)
    if preset.height != preset.width:
        raise ValueError(f"training on the built-in clips needs a square preset, not {preset.name}")
    if method == "autoencoder":
        finished = train_autoencoder(preset, output, settings, minutes)
        result = output / "vae.safetensors"
    elif method == "svd":
        if vae is None:
            raise ValueError("method svd needs a trained autoencoder")
        finished = train_svd(preset, output, settings, minutes, vae)
        result = output / "model"
    else:
        raise ValueError(f"unknown method '{method}'; known: {', '.join(DEFAULTS)}")
    return (
        f"{'finished' if finished else 'stopped at the time limit: run again to resume'}; {result}"
    )
