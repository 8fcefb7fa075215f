"""FLOPs and parameters of a preset's UNet, counted on the meta device."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..models import create_unet
from ..presets import Preset

# Table 2 of arXiv 2412.07583: one evaluation, batch 1.
PAPER_TFLOPS = {"svd-1024x576": 45.43, "svd-512x256": 8.60}


def count(preset: Preset) -> dict[str, Any]:
    """One evaluation at batch 1, multiply-add = 2 FLOPs; norms and activations count as 0."""
    config, (h, w) = preset.unet, preset.latent_size
    with torch.device("meta"):
        unet = create_unet(config)
        with FlopCounterMode(display=False) as counter:
            unet(
                torch.empty(1, config.num_frames, config.in_channels, h, w),
                torch.empty(1),
                torch.empty(1, 1, config.cross_attention_dim),
                torch.empty(1, config.num_added_time_ids),
            )
    return {
        "name": preset.name,
        "tflops": counter.get_total_flops() / 1e12,
        "paper_tflops": PAPER_TFLOPS.get(preset.name),
        "params": sum(p.numel() for p in unet.parameters()),
    }
