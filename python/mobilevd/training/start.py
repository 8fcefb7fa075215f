"""What a run starts from: a model folder fitted to a preset's size, and its teacher."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import torch

from ..models.store import Model, load_model, load_network, with_latent_scale
from ..models.tiny_vae import TinyVae
from ..presets import Preset
from .data import ClipSource
from .methods.autoencoder import latent_scale


def fresh_model(preset: Preset, vae: Path, source: ClipSource, seed: int) -> Model:
    """Random UNet and image encoder on a trained autoencoder, whose latents set the scale."""
    torch.manual_seed(seed)
    model = Model.fresh(preset)
    load_network(model.vae, vae)
    if isinstance(model.vae, TinyVae):  # SVD's has its own scale
        scale = latent_scale(model.vae, source, preset.size)
        model.preset = with_latent_scale(preset, scale)
    return model


def model_at(preset: Preset, folder: Path) -> Model:
    """A trained model at a preset's size and sampling: weights do not depend on the size.

    ValueError if the folder's networks are not those of the preset (a compressed UNet is).
    """
    model = load_model(folder)
    there = model.preset
    for what, ours, theirs in (
        ("image encoder", preset.image_encoder, there.image_encoder),
        ("autoencoder", preset.vae, replace(there.vae, latent_scale=preset.vae.latent_scale)),
    ):
        if ours != theirs:
            raise ValueError(f"{folder} has another {what} than preset {preset.name}")
    # A UNet of the same family: the fields that compression writes are free.
    free = {"num_frames", *COMPRESSED}
    different = [
        f.name
        for f in fields(preset.unet)
        if f.name not in free and getattr(preset.unet, f.name) != getattr(there.unet, f.name)
    ]
    if different:
        raise ValueError(
            f"{folder} is no model for preset {preset.name}: its UNet has another {different[0]} "
            f"({getattr(there.unet, different[0])}, not {getattr(preset.unet, different[0])})"
        )
    model.preset = replace(preset, unet=there.unet, vae=there.vae)
    return model


COMPRESSED = (
    "collapsed_cross_attention",
    "temporal_factor",
    "temporal_operator",
    "spatial_factor",
    "temporal_blocks",
    "attention_widths",
    "resblock_widths",
    "unmerged_funnels",
    "linear_ranks",
)


def teacher_for(preset: Preset, folder: Path) -> Model:
    """A frozen, uncompressed model of the same family; ValueError says what does not fit."""
    teacher = model_at(preset, folder)
    plain = replace(preset.unet, num_frames=teacher.preset.unet.num_frames)
    if teacher.preset.unet != plain:
        raise ValueError(f"{folder} is compressed: the teacher must be an uncompressed SVD")
    for network in teacher.networks().values():
        network.requires_grad_(False)
    return teacher


def checksum(folder: Path) -> str:
    """sha256 over a model folder's files, for a run to know what it started from."""
    total = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        total.update(file.name.encode())
        total.update(file.read_bytes())
    return total.hexdigest()
