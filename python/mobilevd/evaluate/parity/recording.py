"""What the stages of a model and the blocks of its UNet see in a real run, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import nn

from ...models.store import Model
from ..recording import Call, recording, recording_stages
from ..reference_sampler import generate

# Evaluations of the UNet that are kept: the first one, at sigma_max, and one half way.
KEPT = 2


@torch.no_grad()
def record_stages(
    model: Model,
    picture: Image.Image,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, list[Call]]:
    """A clip of ``picture`` by the eager model; stage -> its calls, of the UNet ``KEPT``."""
    preset = model.preset
    calls: dict[str, list[Call]] = {}
    total = preset.sampling.evaluations
    kept = [total * i // KEPT for i in range(KEPT)] if total >= KEPT else [0]

    def keep(name: str, call: Call) -> None:
        calls.setdefault(name, []).append(call)

    def wanted(evaluation: int) -> bool:
        progress(evaluation + 1, total)
        return evaluation in kept

    generator = torch.Generator().manual_seed(seed)
    h, w = preset.latent_size
    noise, again = (
        torch.randn(
            1, preset.unet.num_frames, preset.vae.latent_channels, h, w, generator=generator
        )
        for _ in range(2)
    )
    augmentation = torch.randn(1, 3, preset.height, preset.width, generator=generator)
    with recording_stages(model, keep, wanted):
        generate(model, picture, noise, augmentation, renoise=lambda step: again)
    return calls


def blocks_of(unet: nn.Module) -> dict[str, nn.Module]:
    """Path -> module: layers outside of the levels; inside, ResBlocks, transformers, resamplers.

    ``unet`` may be a rewritten one: paths stay.
    """
    found: dict[str, nn.Module] = {}

    def add(path: str, module: nn.Module) -> None:
        if isinstance(module, nn.ModuleList) or path == "mid_block" or _is_level(path):
            for name, child in module.named_children():
                add(f"{path}.{name}", child)
        else:
            found[path] = module

    for name, child in unet.named_children():
        add(name, child)
    return found


def _is_level(path: str) -> bool:
    group, _, index = path.partition(".")
    return group in ("down_blocks", "up_blocks") and index.isdigit()


@torch.no_grad()
def record_blocks(
    unet: nn.Module, run: Callable[..., Any], arguments: Sequence[torch.Tensor]
) -> dict[str, Call]:
    """``run(*arguments)``, which evaluates ``unet``: path -> call, in the order of execution."""
    calls: dict[str, Call] = {}
    with recording(blocks_of(unet), calls.__setitem__):
        run(*arguments)
    return calls
