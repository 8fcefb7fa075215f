"""A whole small model (UNet, autoencoder, image encoder), and batches for it."""

import copy
from dataclasses import replace

import torch
from mobilevd.models.clip_vision import ClipVisionConfig
from mobilevd.models.store import Model
from mobilevd.models.tiny_vae import TinyVaeConfig
from mobilevd.presets import Preset
from mobilevd.training.data import Batch
from small_networks import CLIP, UNET_CONFIG

PRESET = Preset(
    name="small",
    summary="for tests",
    height=32,
    width=32,
    unet=UNET_CONFIG,
    image_encoder=ClipVisionConfig(**CLIP, image_size=32, patch_size=8),
    vae=TinyVaeConfig(width=8, encoder_blocks=(0, 1, 1), decoder_blocks=(1, 1, 0)),
)

# Two levels only: for tests that take many steps.
SHALLOW = replace(
    PRESET,
    unet=replace(
        UNET_CONFIG,
        block_out_channels=(32, 32),
        num_attention_heads=(2, 2),
        attention_levels=(True, False),
    ),
)


def small_models(seed=0, preset=PRESET):
    """(student, teacher): equal, apart in memory."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        teacher = Model.fresh(preset)
        with torch.no_grad():
            for p in teacher.unet.parameters():
                p.add_(0.05 * torch.randn_like(p))
    student = Model(preset, copy.deepcopy(teacher.unet), teacher.vae, teacher.image_encoder)
    return student, teacher


def batch_of(count, first=0, frames=4, side=8):
    """Clip i of the stream is the same in every batch."""

    def one(i, *shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(i))

    indices = range(first, first + count)
    return Batch(
        first=torch.stack([one(i, 3, 32, 32).clamp(-1, 1) for i in indices]),
        fps=torch.full((count,), 7.0),
        motion_bucket=torch.full((count,), 60.0),
        latents=torch.stack([one(1000 + i, frames, 4, side, side) for i in indices]),
    )
