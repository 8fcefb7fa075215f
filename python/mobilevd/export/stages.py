"""The stages of a clip as modules with named inputs, as the runtime calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..models.store import Model
from ..models.svd_vae import SvdDecoder
from ..models.unet import UNet
from ..presets import Preset
from .rewrites import prepare, prepare_vae


@dataclass(frozen=True)
class Tensor:
    """A named float32 input or output of fixed shape."""

    name: str
    shape: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": "float32", "shape": list(self.shape)}


@dataclass
class Stage:
    """One program of a bundle. ``extra`` goes into the stage's entry of bundle.json;
    ``calibration`` is sets of real inputs, for lowering to integers."""

    name: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    calibration: list[tuple[torch.Tensor, ...]] = field(default_factory=list)

    def example(self, seed: int = 0) -> tuple[torch.Tensor, ...]:
        """Seeded standard-normal inputs."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(torch.randn(i.shape, generator=generator) for i in self.inputs)


def with_tensors(arguments: tuple[Any, ...], tensors: Sequence[torch.Tensor]) -> tuple[Any, ...]:
    """``arguments`` with these in place of its tensors, in order."""
    given = iter(tensors)
    return tuple(next(given) if isinstance(a, torch.Tensor) else a for a in arguments)


class Block(nn.Module):
    """A part of a network by itself: everything but the tensors among its arguments is fixed."""

    def __init__(self, block: nn.Module, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.block = block
        self.arguments = with_tensors(arguments, [torch.empty(0)] * len(arguments))

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.block(*with_tensors(self.arguments, tensors))


class UNetStage(nn.Module):
    """The UNet as the runtime calls it, the sinusoids given: ``unet_inputs`` -> v-prediction."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        sample: torch.Tensor,
        timestep_sinusoid: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        added_time_sinusoids: torch.Tensor,
    ) -> torch.Tensor:
        if sample.dim() == 4:
            sample = sample.unsqueeze(0)
        return self.unet.forward_sinusoids(
            sample, timestep_sinusoid, encoder_hidden_states, added_time_sinusoids
        )


def unet_inputs(preset: Preset, backend: str) -> tuple[Tensor, ...]:
    """Of one evaluation for one clip."""
    unet, (h, w) = preset.unet, preset.latent_size
    added = unet.num_added_time_ids * unet.addition_time_embed_dim
    # HTP quantizes no input of five dimensions: the one clip's frames come first.
    batch = () if backend == "qnn" else (1,)
    return (
        Tensor("sample", (*batch, unet.num_frames, 2 * preset.vae.latent_channels, h, w)),
        Tensor("timestep_sinusoid", (1, unet.block_out_channels[0])),
        Tensor("encoder_hidden_states", (1, 1, unet.cross_attention_dim)),
        Tensor("added_time_sinusoids", (1, added)),
    )


def unet_outputs(preset: Preset) -> tuple[Tensor, ...]:
    shape = (1, preset.unet.num_frames, preset.vae.latent_channels, *preset.latent_size)
    return (Tensor("v_prediction", shape),)


STAGES = ("image_encoder", "vae_encoder", "unet", "vae_decoder")
# Whose weights a stage has.
NETWORKS = {
    "image_encoder": "image_encoder",
    "vae_encoder": "vae",
    "unet": "unet",
    "vae_decoder": "vae",
}


def make_stage(model: Model, name: str, backend: str) -> Stage:
    """The stage of that name for one clip (batch 1), rewritten for the backend."""
    preset = model.preset
    frames, (h, w) = preset.unet.num_frames, preset.latent_size
    channels = preset.vae.latent_channels
    image = Tensor("image", (1, 3, preset.height, preset.width))
    latents = Tensor("latents", (1, channels, h, w))
    if name == "image_encoder":
        clip = preset.image_encoder
        return Stage(
            name,
            model.image_encoder.eval(),
            (Tensor("image", (1, 3, clip.image_size, clip.image_size)),),
            (Tensor("image_embeds", (1, 1, clip.projection_dim)),),
            {"image": {"mean": list(clip.mean), "std": list(clip.std)}},
        )
    if name == "vae_encoder":
        return Stage(name, prepare_vae(model.vae.encoder, backend), (image,), (latents,))
    if name == "vae_decoder":
        # The temporal decoder needs the whole clip at once; the tiny one goes frame by frame, and
        # the runtime cuts the clip by this input's first size.
        together = frames if isinstance(model.vae.decoder, SvdDecoder) else 1
        latents = Tensor("latents", (together, channels, h, w))
        frame = Tensor("frames", (together, 3, preset.height, preset.width))
        decoder = prepare_vae(model.vae.decoder, backend)
        return Stage(name, decoder, (latents,), (frame,))
    if name == "unet":
        module = UNetStage(prepare(model.unet, backend)).eval()
        return Stage(name, module, unet_inputs(preset, backend), unet_outputs(preset))
    raise ValueError(f"unknown stage '{name}'; known: {', '.join(STAGES)}")
