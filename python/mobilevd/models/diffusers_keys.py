"""Parameter names and shapes: diffusers' spatio-temporal UNet and VAE <-> ours.

One table serves both; the image encoder's names are transformers' (``clip_vision``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn

from .config import UNetConfig
from .svd_vae import SvdVae, SvdVaeConfig
from .unet import UNet
from .weight_folder import load_weights

Config = TypeVar("Config")

# (diffusers, ours), applied left to right on dotted names with a trailing dot before the leaf.
_RENAMES = (
    (".downsamplers.0.conv.", ".downsampler."),
    (".upsamplers.0.conv.", ".upsampler."),
    (".to_out.0.", ".to_out."),
    (".ff.net.0.proj.", ".ff.proj_in."),
    (".ff.net.2.", ".ff.proj_out."),
    (".ff_in.net.0.proj.", ".ff_in.proj_in."),
    (".ff_in.net.2.", ".ff_in.proj_out."),
    ("quant_conv.", "encoder.quant_conv."),  # the VAE's: ours belongs to the encoder stage
)
# 4-D here, 5-D in diffusers.
_TEMPORAL_CONVOLUTIONS = ("temporal_res_block.conv", "decoder.time_conv_out.")


def to_ours(key: str) -> str:
    for theirs, ours in _RENAMES:
        key = key.replace(theirs, ours)
    return key


def to_diffusers(key: str) -> str:
    for theirs, ours in _RENAMES:
        key = key.replace(ours, theirs)
    return key


def state_dict_to_ours(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Renamed, temporal convolutions [O, I, 3, 1, 1] -> [O, I, 3, 1]. Views, not copies."""
    return {to_ours(k): v.squeeze(-1) if v.ndim == 5 else v for k, v in state.items()}


def state_dict_to_diffusers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        to_diffusers(k): v.unsqueeze(-1)
        if v.ndim == 4 and any(t in k for t in _TEMPORAL_CONVOLUTIONS)
        else v
        for k, v in state.items()
    }


def config_to_ours(config: dict[str, Any]) -> UNetConfig:
    """A diffusers ``config.json`` (or ``unet.config``) as a :class:`UNetConfig`."""
    widths = tuple(config["block_out_channels"])
    levels = len(widths)

    def uniform(name: str) -> int:
        value = config[name]
        values = set(value) if isinstance(value, list | tuple) else {value}
        if len(values) != 1 or not isinstance(next(iter(values)), int):
            raise ValueError(f"a {name} that differs by level is not supported: {value}")
        return values.pop()

    heads = config["num_attention_heads"]
    types = config["down_block_types"]
    mirrored = [t.replace("Down", "Up") for t in reversed(types)]
    if list(config["up_block_types"]) != mirrored:
        raise ValueError("up_block_types must mirror down_block_types")
    return UNetConfig(
        in_channels=config["in_channels"],
        out_channels=config["out_channels"],
        block_out_channels=widths,
        attention_levels=tuple(t.startswith("CrossAttn") for t in types),
        layers_per_block=uniform("layers_per_block"),
        transformer_layers_per_block=uniform("transformer_layers_per_block"),
        num_attention_heads=tuple(heads) if not isinstance(heads, int) else (heads,) * levels,
        cross_attention_dim=uniform("cross_attention_dim"),
        addition_time_embed_dim=config["addition_time_embed_dim"],
        num_added_time_ids=config["projection_class_embeddings_input_dim"]
        // config["addition_time_embed_dim"],
        num_frames=config["num_frames"],
    )


def config_to_diffusers(config: UNetConfig) -> dict[str, Any]:
    """The arguments of diffusers' UNetSpatioTemporalConditionModel; the inverse of the former.

    ValueError for a compressed UNet, which diffusers does not have.
    """
    if config != config.uncompressed:
        raise ValueError("diffusers has no compressed UNet")
    kind = {True: "CrossAttn{}BlockSpatioTemporal", False: "{}BlockSpatioTemporal"}
    names = [kind[attends] for attends in config.attention_levels]
    return {
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "down_block_types": tuple(name.format("Down") for name in names),
        "up_block_types": tuple(name.format("Up") for name in reversed(names)),
        "block_out_channels": config.block_out_channels,
        "addition_time_embed_dim": config.addition_time_embed_dim,
        "projection_class_embeddings_input_dim": config.num_added_time_ids
        * config.addition_time_embed_dim,
        "layers_per_block": config.layers_per_block,
        "cross_attention_dim": config.cross_attention_dim,
        "transformer_layers_per_block": config.transformer_layers_per_block,
        "num_attention_heads": config.num_attention_heads,
        "num_frames": config.num_frames,
    }


def vae_config_to_ours(config: dict[str, Any]) -> SvdVaeConfig:
    """``config.json`` of an AutoencoderKLTemporalDecoder (or its ``config``)."""
    if config["in_channels"] != 3 or config["out_channels"] != 3:
        raise ValueError("a VAE of other than 3 picture channels is not supported")
    return SvdVaeConfig(
        latent_channels=config["latent_channels"],
        block_out_channels=tuple(config["block_out_channels"]),
        layers_per_block=config["layers_per_block"],
        latent_scale=config["scaling_factor"],
    )


def from_diffusers(unet_or_folder: nn.Module | str | Path) -> UNet:
    """The same UNet from a diffusers module, or from a folder (pipeline or ``unet``) of weights.

    Raises
    ------
    FileNotFoundError, ValueError
        No ``config.json`` or safetensors; missing or extra keys, wrong shapes (named).
    """
    if isinstance(unet_or_folder, nn.Module):
        with torch.device("meta"):
            unet = UNet(config_to_ours(dict(cast(Any, unet_or_folder.config))))
        _take_weights(unet, unet_or_folder)
        return unet
    folder = Path(unet_or_folder)
    folder = folder / "unet" if (folder / "unet").is_dir() else folder
    with torch.device("meta"):
        unet = UNet(read_config(folder, "UNetSpatioTemporalConditionModel", config_to_ours))
    load_weights(unet, folder, to_ours)
    return unet


def vae_from_diffusers(vae: nn.Module) -> SvdVae:
    """The same VAE from a diffusers ``AutoencoderKLTemporalDecoder``; shares its weights."""
    with torch.device("meta"):
        ours = SvdVae(vae_config_to_ours(dict(cast(Any, vae.config))))
    _take_weights(ours, vae)
    return ours


def _take_weights(ours: nn.Module, theirs: nn.Module) -> None:
    state = state_dict_to_ours(theirs.state_dict())
    check_state(ours, state)
    ours.load_state_dict(state, assign=True)


def read_config(folder: Path, kind: str, convert: Callable[[dict[str, Any]], Config]) -> Config:
    """``config.json`` of one network's folder, which must be of class ``kind``, converted."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no config.json: not the folder of a {kind}")
    config = read_json(path)
    # diffusers writes _class_name, transformers architectures.
    name = config.get("_class_name") or (config.get("architectures") or [kind])[0]
    if name != kind:
        raise ValueError(f"{path} is of the class {name}, not {kind}")
    try:
        return convert(config)
    except KeyError as error:
        raise ValueError(f"{path} lacks the entry {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise ValueError(f"{path} is not a JSON object") from None


def check_state(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """One line naming the first missing, extra and misshapen keys."""
    want = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    have = {k: tuple(v.shape) for k, v in state.items()}
    problems = [f"missing {k}" for k in sorted(want.keys() - have.keys())]
    problems += [f"unexpected {k}" for k in sorted(have.keys() - want.keys())]
    problems += [
        f"{k} has shape {list(have[k])}, expected {list(want[k])}"
        for k in sorted(want.keys() & have.keys())
        if want[k] != have[k]
    ]
    if problems:
        more = f" (and {len(problems) - 4} more)" if len(problems) > 4 else ""
        raise ValueError("weights do not fit the model: " + "; ".join(problems[:4]) + more)
