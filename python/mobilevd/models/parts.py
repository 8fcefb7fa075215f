"""Models that are too large to hold whole: one network at a time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from ..presets import Preset, get_preset
from .store import NETWORKS, Model, empty_model, load_network, model_folder, read_preset
from .weight_folder import check_files


class Parts(Protocol):
    """A :class:`Model`, or a promise of one."""

    @property
    def preset(self) -> Preset: ...

    @property
    def origin(self) -> str | None:
        """What makes the same weights again: "random:SEED"."""
        ...

    def part(self, name: str) -> Model:
        """The network of that name, filled; the others may be without values (meta)."""
        ...


@dataclass(frozen=True)
class Promised:
    """``fill`` gives a network its weights, on every call of ``part`` anew."""

    preset: Preset
    fill: Callable[[str, nn.Module], None]
    origin: str | None = None

    def part(self, name: str) -> Model:
        model = empty_model(self.preset)
        network = model.networks()[name]
        self.fill(name, network)
        network.eval().requires_grad_(False)
        return model


def whole(parts: Parts) -> Model:
    """All networks at once."""
    model = parts.part(NETWORKS[0])
    for name in NETWORKS[1:]:
        setattr(model, name, getattr(parts.part(name), name))
    return model


def open_model(source: str | Path) -> Promised:
    """What ``load_model`` loads, its weights left on the disk; whether they fit is checked."""
    folder = model_folder(source)
    preset = read_preset(folder)
    files = {name: folder / f"{name}.safetensors" for name in NETWORKS}
    for name, network in empty_model(preset).networks().items():
        check_files(network, [files[name]], lambda key: key)
    return Promised(preset, lambda name, network: load_network(network, files[name]))


def random_seed(weights: str) -> int | None:
    """The SEED of ``random:SEED``; None if the text names no random weights.

    ValueError if it does and SEED is no number.
    """
    kind, colon, seed = weights.partition(":")
    if kind != "random" or not colon:
        return None
    if not (seed.isascii() and seed.isdigit()):
        raise ValueError(f"random weights are random:SEED, a whole number, not {weights}")
    return int(seed)


def random_model(preset: str | Preset, seed: int) -> Promised:
    """Any preset with random weights: for time, memory and rounding, not for pictures.

    Each tensor is drawn by ``seed`` and its own name. Products keep the scale of what goes in,
    norms begin near the identity; no two tensors are alike, so that none is stored for two.
    """

    def fill(name: str, network: nn.Module) -> None:
        network.to_empty(device="cpu")
        for module_name, module in network.named_modules():
            for key, parameter in module.named_parameters(recurse=False):
                _draw(parameter, f"{seed}/{name}/{module_name}/{key}", _is_scale(module, key))

    drawn = get_preset(preset) if isinstance(preset, str) else preset
    return Promised(drawn, fill, f"random:{seed}")


def _is_scale(module: nn.Module, key: str) -> bool:
    return key == "weight" and isinstance(module, nn.GroupNorm | nn.LayerNorm)


@torch.no_grad()
def _draw(parameter: torch.Tensor, name: str, scale: bool) -> None:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
    generator = torch.Generator().manual_seed(number)
    fan_in = parameter.numel() / parameter.shape[0] if parameter.dim() > 1 else 1e4
    parameter.normal_(1.0 if scale else 0.0, 1 / math.sqrt(fan_in), generator=generator)
