"""The small configurations that tests build networks from: SVD's shape, narrow."""

from __future__ import annotations

from typing import Any

import torch
from mobilevd.models.config import UNetConfig
from mobilevd.models.transformer import AlphaBlender

# Both ours and diffusers' names; four levels and heads of 16 channels.
UNET: dict[str, Any] = {
    "block_out_channels": (32, 64, 64, 64),
    "num_attention_heads": (2, 4, 4, 4),
    "layers_per_block": 1,
    "cross_attention_dim": 24,
    "addition_time_embed_dim": 16,
}
UNET_CONFIG = UNetConfig(**UNET, num_frames=4)
# diffusers' own names beside those; three added time ids.
DIFFUSERS_UNET = {**UNET, "projection_class_embeddings_input_dim": 3 * 16}

# transformers' names and ours; the projection fits the UNet's cross_attention_dim.
CLIP: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "projection_dim": 24,
}

# SVD's scheduler_config.json.
SCHEDULER: dict[str, Any] = {
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "prediction_type": "v_prediction",
    "use_karras_sigmas": True,
    "interpolation_type": "linear",
    "steps_offset": 1,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}


def give_blends_values(promised: torch.nn.Module) -> None:
    """Of a network on the meta device: a rewrite reads them."""
    for module in promised.modules():
        if isinstance(module, AlphaBlender):
            module.mix_factor = torch.nn.Parameter(torch.full((1,), 0.5))
