"""Parameter names and shapes: diffusers' UNetSpatioTemporalConditionModel <-> ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from .config import UNetConfig
from .unet import UNet

# (diffusers, ours), applied left to right on dotted names with a trailing dot before the leaf.
_RENAMES = (
    (".downsamplers.0.conv.", ".downsampler."),
    (".upsamplers.0.conv.", ".upsampler."),
    (".to_out.0.", ".to_out."),
    (".ff.net.0.proj.", ".ff.proj_in."),
    (".ff.net.2.", ".ff.proj_out."),
    (".ff_in.net.0.proj.", ".ff_in.proj_in."),
    (".ff_in.net.2.", ".ff_in.proj_out."),
)


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
        to_diffusers(k): v.unsqueeze(-1) if "temporal_res_block.conv" in k and v.ndim == 4 else v
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


def from_diffusers(unet_or_folder: nn.Module | str | Path) -> UNet:
    """The same UNet from a diffusers module, or from a folder (pipeline or ``unet``) of weights.

    Raises
    ------
    FileNotFoundError, ValueError
        No ``config.json`` or safetensors; missing or extra keys, wrong shapes (named).
    """
    if isinstance(unet_or_folder, nn.Module):
        config = config_to_ours(dict(cast(Any, unet_or_folder.config)))
        state = state_dict_to_ours(unet_or_folder.state_dict())
    else:
        config, state = _read_folder(Path(unet_or_folder))
    with torch.device("meta"):
        unet = UNet(config)
    check_state(unet, state)
    unet.load_state_dict(state, assign=True)
    return unet


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


def _read_folder(folder: Path) -> tuple[UNetConfig, dict[str, torch.Tensor]]:
    from safetensors.torch import load_file

    folder = folder / "unet" if (folder / "unet").is_dir() else folder
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json: not a diffusers UNet folder")
    config = config_to_ours(json.loads((folder / "config.json").read_text()))
    index = sorted(
        folder.glob("*.safetensors.index*.json"), key=lambda p: (p.name.count("."), p.name)
    )
    if index:
        names = sorted(set(json.loads(index[0].read_text())["weight_map"].values()))
    else:
        # "name.safetensors" before its variants ("name.fp16.safetensors").
        found = sorted(folder.glob("*.safetensors"), key=lambda p: (p.name.count("."), p.name))
        names = [p.name for p in found[:1]]
    if not names:
        raise FileNotFoundError(f"{folder} has no .safetensors weights")
    state: dict[str, torch.Tensor] = {}
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} lacks the weight file {name}")
        state |= load_file(folder / name)
    return config, state_dict_to_ours({k: v.float() for k, v in state.items()})
