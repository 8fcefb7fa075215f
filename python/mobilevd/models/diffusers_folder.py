"""A diffusers pipeline folder of Stable Video Diffusion -> a model of ours.

Read: ``unet``, ``vae``, ``image_encoder`` and ``scheduler`` (and ``feature_extractor`` for the
picture's mean and deviation). The widths of the networks are the folder's; the size of a clip and
its sampling come from the preset. Weights go tensor by tensor into place (``weight_folder``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..presets import Preset, Sampling
from .clip_vision import ClipVision, ClipVisionConfig, transformers_key
from .config import UNetConfig
from .diffusers_keys import config_to_ours, read_config, read_json, to_ours, vae_config_to_ours
from .store import Model
from .svd_vae import SvdVae
from .tiny_vae import TinyVaeConfig
from .unet import UNet
from .weight_folder import Rename, check_files, find_weights, load_files

PIPELINE = "StableVideoDiffusionPipeline"

# transformers' CLIPVisionConfig: what an entry is that config.json leaves out.
_CLIP_DEFAULTS = {
    "image_size": 224,
    "patch_size": 32,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "projection_dim": 512,
    "layer_norm_eps": 1e-5,
    "hidden_act": "quick_gelu",
}
# What the sampler here does; a scheduler that says otherwise would give other clips.
_SCHEDULER = {
    "_class_name": "EulerDiscreteScheduler",
    "prediction_type": "v_prediction",
    "timestep_type": "continuous",
    "timestep_spacing": "leading",
    "use_karras_sigmas": True,
    "final_sigmas_type": "zero",
}


def check_pipeline(folder: Path) -> None:
    """One clear line if this is not a whole SVD pipeline folder."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder} has no model_index.json: not a diffusers pipeline folder"
        )
    kind = read_json(index).get("_class_name")
    if kind != PIPELINE:
        raise ValueError(f"{folder} holds a {kind}, not a {PIPELINE}")
    for part in ("unet", "vae", "image_encoder", "scheduler"):
        if not (folder / part).is_dir():
            raise FileNotFoundError(f"{folder} lacks the folder {part}")


def clip_config_to_ours(config: dict[str, Any], processor: dict[str, Any]) -> ClipVisionConfig:
    """transformers' ``config.json`` and ``preprocessor_config.json`` (may be empty)."""
    known = {k: config.get(k, default) for k, default in _CLIP_DEFAULTS.items()}
    activation = known.pop("hidden_act")
    if activation != "gelu":
        raise ValueError(f"hidden_act {activation} is not supported, only gelu (SVD's ViT-H)")
    pixels: dict[str, Any] = {
        ours: tuple(processor[theirs])
        for ours, theirs in (("mean", "image_mean"), ("std", "image_std"))
        if theirs in processor
    }
    return ClipVisionConfig(**known, **pixels)


def tiny_vae_config_to_ours(config: dict[str, Any], latent_scale: float) -> TinyVaeConfig:
    """``config.json`` of an AutoencoderTiny for the latents of a VAE of ``latent_scale``."""
    widths = {*config["encoder_block_out_channels"], *config["decoder_block_out_channels"]}
    if len(widths) != 1:
        raise ValueError(f"blocks of different widths are not supported: {sorted(widths)}")
    return TinyVaeConfig(
        latent_channels=config["latent_channels"],
        width=widths.pop(),
        encoder_blocks=tuple(config["num_encoder_blocks"]),
        decoder_blocks=tuple(config["num_decoder_blocks"]),
        latent_scale=latent_scale,
        native_scale=latent_scale / config["scaling_factor"],
    )


def read_scheduler(folder: Path, sampling: Sampling) -> Sampling:
    """``sampling`` with the noise range of ``scheduler_config.json``."""
    path = folder / "scheduler_config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    config = {"final_sigmas_type": "zero"} | read_json(path)
    for name, value in _SCHEDULER.items():
        if config.get(name) != value:
            raise ValueError(f"{path}: {name} is {config.get(name)}, supported is {value}")
    low, high = config.get("sigma_min"), config.get("sigma_max")
    return replace(
        sampling,
        sigma_min=sampling.sigma_min if low is None else low,
        sigma_max=sampling.sigma_max if high is None else high,
    )


def part(prefix: str) -> Rename:
    """Only the keys of one half of an autoencoder, relative to it."""

    def rename(key: str) -> str | None:
        name = to_ours(key)
        return name.removeprefix(prefix) if name.startswith(prefix) else None

    return rename


def read_unet_config(folder: Path, frames: int) -> UNetConfig:
    """The UNet of a pipeline folder, for clips of ``frames``; no weights are read."""
    check_pipeline(folder)
    config: UNetConfig = read_config(
        folder / "unet", "UNetSpatioTemporalConditionModel", config_to_ours
    )
    return replace(config, num_frames=frames)


def read_pipeline(
    folder: Path,
    preset: Preset,
    *,
    tiny_vae: Path | None = None,
    dtype: torch.dtype | None = torch.float32,
    variant: str | None = None,
    progress: Callable[[int, int, str], object] = lambda done, total, what: None,
) -> Model:
    """The folder's networks as ``dtype`` (None: as stored), to make clips of the preset's size.

    ``tiny_vae``, the folder of an AutoencoderTiny (TAESD), takes the temporal decoder's place.
    Every file is found and its keys checked before the first weights are read; ``progress`` then
    hears of (tensors read, their number, network).

    Raises
    ------
    FileNotFoundError, ValueError
        One line: the wrong folder, a missing part or shard, keys that are missing, extra, misshapen
        or of the wrong type, pickles instead of safetensors, a configuration SVD does not have.
    """
    folder = Path(folder)
    unet_config = read_unet_config(folder, preset.unet.num_frames)
    sampling = read_scheduler(folder / "scheduler", preset.sampling)
    vae_config = read_config(folder / "vae", "AutoencoderKLTemporalDecoder", vae_config_to_ours)
    if tiny_vae is not None:
        scale = vae_config.latent_scale
        tiny = read_config(
            Path(tiny_vae), "AutoencoderTiny", lambda c: tiny_vae_config_to_ours(c, scale)
        )
        vae_config = replace(vae_config, tiny_decoder=tiny)
    processor_file = folder / "feature_extractor" / "preprocessor_config.json"
    processor = read_json(processor_file) if processor_file.is_file() else {}
    clip_config = read_config(
        folder / "image_encoder",
        "CLIPVisionModelWithProjection",
        lambda c: clip_config_to_ours(c, processor),
    )

    with torch.device("meta"):
        unet, vae = UNet(unet_config), SvdVae(vae_config)
        image_encoder = ClipVision(clip_config)

    # What to fill, its name, from where, by which names.
    wanted: list[tuple[nn.Module, str, list[Path], Rename]] = [
        (unet, "unet", find_weights(folder / "unet", variant), to_ours),
        (
            image_encoder,
            "image_encoder",
            find_weights(folder / "image_encoder", variant),
            transformers_key,
        ),
    ]
    vae_files = find_weights(folder / "vae", variant)
    if tiny_vae is None:
        wanted.append((vae, "vae", vae_files, to_ours))
    else:
        # The variant is SVD's: a TAESD folder has one file.
        tiny_files = find_weights(Path(tiny_vae))
        wanted.append((vae.encoder, "vae encoder", vae_files, part("encoder.")))
        wanted.append((vae.decoder, "tiny decoder", tiny_files, part("decoder.")))
    for network, _, files, rename in wanted:
        check_files(network, files, rename)
    for network, name, files, rename in wanted:

        def heard(done: int, total: int, name: str = name) -> None:
            progress(done, total, f"read {name}")

        load_files(network, files, rename, dtype=dtype, progress=heard)
    preset = replace(
        preset, unet=unet_config, vae=vae_config, image_encoder=clip_config, sampling=sampling
    )
    model = Model(preset, unet, vae, image_encoder)
    for network in model.networks().values():
        network.eval().requires_grad_(False)
    return model
