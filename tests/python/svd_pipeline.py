"""A small random StableVideoDiffusionPipeline, as a folder in diffusers' own layout.

Same classes and files as SVD's, narrow networks, weights that are random but not tiny: biases,
norms and mix factors too, so that a lost or misplaced tensor shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from small_networks import CLIP, DIFFUSERS_UNET, SCHEDULER


@torch.no_grad()
def randomise(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        if p.ndim > 1:
            fan_in = p[0].numel()
            p.copy_(torch.randn(p.shape, generator=generator) * fan_in**-0.5)
        else:
            p.copy_(torch.rand(p.shape, generator=generator) * 2 - 1)
    return module.eval()


def random_vae(widths=(32, 64), seed: int = 1):
    from diffusers import AutoencoderKLTemporalDecoder

    return randomise(
        AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            block_out_channels=widths,
            layers_per_block=2,
        ),
        seed,
    )


def random_pipeline(
    frames: int = 4, layers: int = 1, levels: int = 4, unet: dict[str, Any] | None = None
):
    """The pipeline itself, float32; clips of any multiple of 32 pixels.

    SVD has two ``layers`` and four ``levels`` of resolution, the last without transformers;
    ``unet`` holds other arguments of the UNet.
    """
    import diffusers
    import transformers

    shape = {**DIFFUSERS_UNET, "layers_per_block": layers, **(unet or {})}
    for name in ("block_out_channels", "num_attention_heads"):
        shape[name] = shape[name][:levels]
    network = diffusers.UNetSpatioTemporalConditionModel(
        **shape,
        down_block_types=("CrossAttnDownBlockSpatioTemporal",) * (levels - 1)
        + ("DownBlockSpatioTemporal",),
        up_block_types=("UpBlockSpatioTemporal",)
        + ("CrossAttnUpBlockSpatioTemporal",) * (levels - 1),
        num_frames=frames,
    )
    image_encoder = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**CLIP, image_size=224, patch_size=56, hidden_act="gelu")
    )
    return diffusers.StableVideoDiffusionPipeline(
        vae=random_vae((32, 32, 64, 64)),
        image_encoder=randomise(image_encoder, 2),
        unet=randomise(network, 3),
        scheduler=diffusers.EulerDiscreteScheduler(**SCHEDULER),
        feature_extractor=transformers.CLIPImageProcessor(),
    )


# random_pipeline's arguments; the others go to save_pretrained: variant, max_shard_size.
_NETWORKS = ("frames", "layers", "levels", "unet")


def write_pipeline(folder: Path, frames: int = 4, **options: Any) -> Path:
    """``save_pretrained`` of a random pipeline."""
    networks = {k: v for k, v in options.items() if k in _NETWORKS}
    save = {k: v for k, v in options.items() if k not in _NETWORKS}
    random_pipeline(frames, **networks).save_pretrained(folder, **save)
    return folder


def write_tiny_vae(folder: Path, width: int = 8):
    """A random AutoencoderTiny (TAESD), and its folder in diffusers' layout."""
    import diffusers

    tiny = randomise(
        diffusers.AutoencoderTiny(
            encoder_block_out_channels=(width,) * 4, decoder_block_out_channels=(width,) * 4
        )
    )
    tiny.save_pretrained(folder)
    return tiny
