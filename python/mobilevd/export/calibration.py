"""What the stages of a model see while it makes clips of real pictures: to calibrate on, to compare
on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from PIL import Image

from ..evaluate.reference_sampler import generate
from ..models.store import Model
from .stages import Stage

Inputs = tuple[torch.Tensor, ...]

# Sets of inputs kept of a stage, evenly over the clips and, in the UNet, over the noise levels.
KEPT = 24


def pictures(model: Model, count: int, seed: int = 11) -> list[Image.Image]:
    """First frames of real clips of the training set, drawn with ``seed``."""
    from ..training.data import Mixture, clip_rng

    source, preset = Mixture(), model.preset
    size = max(preset.height, preset.width)
    drawn = (source.draw(clip_rng(seed, i), preset.unet.num_frames, size) for i in range(count))
    return [Image.fromarray(clip.frames[0]) for clip in drawn]


@torch.no_grad()
def recorded_calls(model: Model, clips: int = 4, steps: int | None = None) -> dict[str, list[Inputs]]:
    """Stage -> the inputs it was called with, over ``clips`` clips of ``steps`` sampling steps."""
    preset = model.preset
    if steps is not None:
        preset = replace(preset, sampling=replace(preset.sampling, steps=steps))
        model = replace(model, preset=preset)
    calls: dict[str, list[Inputs]] = {}
    frames, (h, w) = preset.unet.num_frames, preset.latent_size
    with _recording(model, calls):
        for i, picture in enumerate(pictures(model, clips)):
            generator = torch.Generator().manual_seed(i)
            noise = torch.randn(1, frames, preset.vae.latent_channels, h, w, generator=generator)
            augmentation = torch.randn(1, 3, preset.height, preset.width, generator=generator)
            again = torch.randn(noise.shape, generator=generator)
            generate(model, picture, noise, augmentation, renoise=lambda step, n=again: n)
    return calls


@contextmanager
def _recording(model: Model, calls: dict[str, list[Inputs]]) -> Iterator[None]:
    networks = {
        "image_encoder": model.image_encoder,
        "vae_encoder": model.vae.encoder,
        "vae_decoder": model.vae.decoder,
    }

    def keep(name: str, inputs: Inputs) -> None:
        calls.setdefault(name, []).append(tuple(x.detach().float().clone() for x in inputs))

    hooks = [
        network.register_forward_pre_hook(lambda _, inputs, name=name: keep(name, inputs))
        for name, network in networks.items()
    ]
    unet, evaluate = model.unet, model.unet.forward_sinusoids

    def evaluate_and_keep(*inputs: torch.Tensor) -> torch.Tensor:
        keep("unet", inputs)
        return evaluate(*inputs)

    unet.forward_sinusoids = evaluate_and_keep  # type: ignore[method-assign]
    try:
        yield
    finally:
        del unet.forward_sinusoids
        for hook in hooks:
            hook.remove()


def calibration_inputs(calls: dict[str, list[Inputs]], stage: Stage) -> list[Inputs]:
    """At most ``KEPT`` of the stage's calls; a decoder that goes frame by frame gets frames."""
    first = stage.inputs[0].shape[0]
    found = [
        parts
        for inputs in calls[stage.name]
        for parts in zip(*(x.split(first) if x.shape[0] != first else (x,) for x in inputs), strict=True)
    ]
    # An odd stride, so that evaluations with and without conditioning take turns.
    stride = max(1, len(found) // KEPT) | 1
    return found[::stride]
