"""A model on disk: ``model.json`` (the whole preset) and one safetensors file per network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from ..presets import Preset, get_preset
from ..whole_files import check_folder, whole_file, whole_folder
from . import create_unet
from .clip_vision import ClipVision
from .unet import UNet
from .vae import Vae, create_vae
from .weight_folder import load_files

NETWORKS = ("unet", "vae", "image_encoder")
DISCRIMINATOR = "discriminator.safetensors"  # beside them: heads for the next training stage


@dataclass
class Model:
    """The three networks of a preset, in evaluation mode."""

    preset: Preset
    unet: UNet
    vae: Vae
    image_encoder: ClipVision

    @classmethod
    def fresh(cls, preset: Preset) -> Model:
        return cls(
            preset,
            create_unet(preset.unet),
            create_vae(preset.vae),
            ClipVision(preset.image_encoder),
        )

    def networks(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in NETWORKS}

    @property
    def device(self) -> torch.device:
        return next(self.unet.parameters()).device

    def to(self, device: torch.device | str) -> Model:
        """Itself, moved."""
        for network in self.networks().values():
            network.to(device)
        return self

    @property
    def origin(self) -> None:
        """Trained, or changed since it was made (``models.parts``)."""
        return None

    def part(self, name: str) -> Model:
        """Itself: what exports wants one network at a time (``models.parts``)."""
        return self


def save_tensors(
    path: Path, state: Mapping[str, torch.Tensor], dtype: torch.dtype | None = None
) -> None:
    """Safetensors, atomically; floating tensors stored as ``dtype`` where given. OSError: a full
    disk, of which the library has an error of its own."""

    def stored(v: torch.Tensor) -> torch.Tensor:
        v = v.detach()
        return (v.to(dtype) if dtype and v.is_floating_point() else v).contiguous()

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        try:
            save_file({k: stored(v) for k, v in state.items()}, temporary)
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written: {error}") from None
        temporary.chmod(0o644)  # safetensors makes private files


def check_model_folder(folder: Path) -> None:
    """ValueError if ``save_model`` would refuse that folder; for before the long work."""
    check_folder(folder, _is_model_or_empty)


def _is_model_or_empty(folder: Path) -> bool:
    """Only files that a model folder has may go with it."""
    names = {file.name for file in folder.iterdir()}
    return names <= {"model.json", DISCRIMINATOR, *(f"{name}.safetensors" for name in NETWORKS)}


def save_model(
    model: Model,
    folder: Path,
    dtype: torch.dtype | None = None,
    progress: Callable[[int, int, str], object] = lambda done, total, what: None,
) -> None:
    """Writes a whole model folder or nothing; an older one is replaced, other files are refused."""
    with whole_folder(folder, _is_model_or_empty) as new:
        for i, (name, network) in enumerate(model.networks().items()):
            progress(i, len(NETWORKS), f"write {name}")
            save_tensors(new / f"{name}.safetensors", network.state_dict(), dtype)
        (new / "model.json").write_text(json.dumps(model.preset.to_dict(), indent=1) + "\n")


@torch.no_grad()
def to_half(network: nn.Module) -> None:
    """float16 weights, in place and one by one: never twice in memory; ``half_of``'s error."""
    for name, parameter in network.named_parameters():
        parameter.data = half_of(name, parameter)


def half_of(name: str, weight: torch.Tensor) -> torch.Tensor:
    """float16; ValueError names a weight that it cannot hold."""
    half = weight.detach().half()
    if not torch.isfinite(half).all():
        raise ValueError(f"{name} has values that fp16 cannot hold: keep fp32")
    return half


def load_network(network: nn.Module, path: Path) -> None:
    """Weights of one network, as float32; errors name the file and the first wrong keys.

    The parameters are replaced, so optimizers are made afterwards.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the model folder is not whole")
    load_files(network, [path], dtype=torch.float32)


def model_folder(source: str | Path) -> Path:
    """A model folder, or that of a preset whose weights ship with the package."""
    folder = Path(source)
    if not folder.is_dir():
        preset = get_preset(str(source))
        folder = Path(__file__).parents[1] / "weights" / preset.name
        if not folder.is_dir():
            raise ValueError(f"no weights ship for preset '{preset.name}': give a model folder")
    if not (folder / "model.json").is_file():
        raise FileNotFoundError(f"{folder} has no model.json: not a model folder")
    return folder


def read_preset(folder: Path) -> Preset:
    """ValueError (one line): a model.json that is not whole or not of this version."""
    path = folder / "model.json"
    try:
        return Preset.from_dict(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} describes no model of this version ({what})") from None


def empty_model(preset: Preset) -> Model:
    """Shapes without values: random ones of SVD take a minute and twice the memory."""
    with torch.device("meta"):
        return Model.fresh(preset)


def load_model(source: str | Path) -> Model:
    """A model folder, or the name of a preset whose weights ship with the package."""
    folder = model_folder(source)
    model = empty_model(read_preset(folder))
    for name, network in model.networks().items():
        load_network(network, folder / f"{name}.safetensors")
        network.eval().requires_grad_(False)
    return model


def weights_digest(networks: Mapping[str, nn.Module], about: str = "") -> str:
    """sha256 of ``about`` and of all parameters and buffers under their names."""
    found = hashlib.sha256(about.encode())
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            found.update(f"{name}.{key}".encode())
            found.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def with_latent_scale(preset: Preset, latent_scale: float) -> Preset:
    return replace(preset, vae=replace(preset.vae, latent_scale=latent_scale))
