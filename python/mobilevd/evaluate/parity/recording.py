"""What the stages of a model and the blocks of its UNet see in a real run, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import nn

from ...export.stages import STAGES
from ...models.parts import Parts
from ..recording import Call, RecordedStages, recording
from ..reference_sampler import conditioning, decode, sample_latents

# Evaluations of the UNet that are kept: the first one, at sigma_max, and one half way.
KEPT = 2


@torch.no_grad()
def record_stages(
    model: Parts,
    picture: Image.Image,
    seed: int = 0,
    last: str = STAGES[-1],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, list[Call]]:
    """A clip of ``picture`` by the eager model, up to the stage ``last``; stage -> its calls, of
    the UNet ``KEPT``. One network is held at a time.

    ValueError names the first stage that gives NaN or infinite values.
    """
    preset = model.preset
    calls: dict[str, list[Call]] = {}
    total = preset.sampling.evaluations
    kept = [total * i // KEPT for i in range(KEPT)] if total >= KEPT else [0]

    def keep(name: str, call: Call) -> None:
        bad = int((~torch.isfinite(call.output)).sum())
        if bad:
            raise ValueError(
                f"the model itself, in eager float32, gives NaN or infinite values: the first are "
                f"{bad} of {call.output.numel()} of stage '{name}'"
            )
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
    with RecordedStages(model, keep, wanted) as recorded:
        token, image = conditioning(recorded, picture, augmentation)
        if last in ("unet", "vae_decoder"):
            unet = recorded.part("unet").unet
            latents = sample_latents(
                unet, token, image, noise, preset.sampling, renoise=lambda step: again
            )
            del unet
        if last == "vae_decoder":
            decode(recorded, latents)
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
