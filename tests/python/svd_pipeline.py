"""A small random StableVideoDiffusionPipeline, as a folder in diffusers' own layout.

Same classes and files as SVD's, narrow networks, weights that are random but not tiny: biases,
norms and mix factors too, so that a lost or misplaced tensor shows.
"""

from __future__ import annotations

from pathlib import Path

import torch

# SVD's scheduler_config.json.
SCHEDULER = {
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


def random_pipeline(frames: int = 4):
    """The pipeline itself, float32; clips of any multiple of 32 pixels."""
    import diffusers
    import transformers

    unet = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64, 64, 64),
        num_attention_heads=(2, 4, 4, 4),
        layers_per_block=1,
        cross_attention_dim=24,
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=48,
        num_frames=frames,
    )
    image_encoder = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            image_size=224,
            patch_size=56,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            projection_dim=24,
            hidden_act="gelu",
        )
    )
    return diffusers.StableVideoDiffusionPipeline(
        vae=random_vae((32, 32, 64, 64)),
        image_encoder=randomise(image_encoder, 2),
        unet=randomise(unet, 3),
        scheduler=diffusers.EulerDiscreteScheduler(**SCHEDULER),
        feature_extractor=transformers.CLIPImageProcessor(),
    )


def write_pipeline(folder: Path, frames: int = 4, **save: object) -> Path:
    """``save_pretrained`` of a random pipeline; ``save`` may hold variant, max_shard_size."""
    random_pipeline(frames).save_pretrained(folder, **save)
    return folder
