"""What the stages of a model see while it makes clips of real pictures: to calibrate on, to compare
on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from PIL import Image

from ..evaluate.recording import Call, RecordedStages
from ..evaluate.reference_sampler import generate
from ..models.store import Model
from .stages import Stage

Inputs = tuple[torch.Tensor, ...]

# Sets of inputs kept of a stage, evenly over the clips and, in the UNet, over the noise levels.
KEPT = 24


def pictures(
    side: int, frames: int, count: int, seed: int = 11, split: str = "train"
) -> list[Image.Image]:
    """First frames of real clips, [side, side]; the split "test" was never trained on."""
    from ..training.data import Mixture, clip_rng

    source = Mixture(split)
    drawn = (source.draw(clip_rng(seed, i), frames, (side, side)) for i in range(count))
    return [Image.fromarray(clip.frames[0]) for clip in drawn]


@torch.no_grad()
def recorded_calls(
    model: Model, clips: int | None = None, steps: int = 8
) -> dict[str, list[Inputs]]:
    """Stage -> the inputs it was called with, over ``clips`` clips (default: 3 to 8, fewer the more
    evaluations each has) of at most ``steps`` sampling steps, from sigma_max to sigma_min."""
    preset = model.preset
    steps = min(steps, preset.sampling.steps)
    preset = replace(preset, sampling=replace(preset.sampling, steps=steps))
    model = replace(model, preset=preset)
    if clips is None:
        clips = min(8, max(3, KEPT // preset.sampling.evaluations))
    calls: dict[str, list[Inputs]] = {}
    frames, (h, w) = preset.unet.num_frames, preset.latent_size

    def keep(name: str, call: Call) -> None:
        calls.setdefault(name, []).append(tuple(x.float() for x in call.tensors))

    with RecordedStages(model, keep) as recorded:
        side = max(preset.height, preset.width)
        for i, picture in enumerate(pictures(side, frames, clips)):
            generator = torch.Generator().manual_seed(i)
            noise = partial(_noise, generator, (1, frames, preset.vae.latent_channels, h, w))
            augmentation = _noise(generator, (1, 3, preset.height, preset.width))
            generate(recorded, picture, noise(), augmentation, renoise=noise)
    return calls


def _noise(generator: torch.Generator, shape: tuple[int, ...], step: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=generator)


def fitted(inputs: Inputs, shapes: Sequence[Sequence[int]]) -> list[Inputs]:
    """Recorded inputs as a stage takes them: a clip's frames one by one where its decoder goes
    frame by frame, without the batch of one where its backend has no five dimensions."""
    same = zip(inputs, shapes, strict=True)
    inputs = tuple(x.squeeze(0) if x.dim() > len(shape) else x for x, shape in same)
    parts = (x.split(shape[0]) for x, shape in zip(inputs, shapes, strict=True))
    return list(zip(*parts, strict=True))


def calibration_inputs(calls: dict[str, list[Inputs]], stage: Stage) -> list[Inputs]:
    """At most about ``KEPT`` of the stage's calls."""
    shapes = [i.shape for i in stage.inputs]
    found = [part for inputs in calls[stage.name] for part in fitted(inputs, shapes)]
    # An odd stride, so that evaluations with and without conditioning take turns.
    return found[:: max(1, len(found) // KEPT) | 1]
