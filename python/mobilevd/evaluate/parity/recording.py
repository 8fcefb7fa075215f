"""What the stages of a model and the blocks of its UNet see in a real run, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import nn

from ...models.store import Model
from ..reference_sampler import generate

# Evaluations of the UNet that are kept: the first one, at sigma_max, and one half way.
KEPT = 2


@dataclass(frozen=True)
class Call:
    """``arguments`` as given, tensors and numbers; ``output`` of one call."""

    arguments: tuple[Any, ...]
    output: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(a for a in self.arguments if isinstance(a, torch.Tensor))


def _detached(arguments: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(a.detach().clone() if isinstance(a, torch.Tensor) else a for a in arguments)


@contextmanager
def _hooked(modules: dict[str, nn.Module], keep: Callable[[str, Call], None]) -> Iterator[None]:
    def hook(name: str) -> Any:
        def called(_: nn.Module, arguments: tuple[Any, ...], output: torch.Tensor) -> None:
            keep(name, Call(_detached(arguments), output.detach().clone()))

        return called

    hooks = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


@torch.no_grad()
def record_stages(
    model: Model,
    picture: Image.Image,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, list[Call]]:
    """A clip of ``picture`` by the eager model; stage -> its calls, of the UNet ``KEPT``.

    The UNet's arguments are those of its exported form: sinusoids in place of numbers.
    """
    preset = model.preset
    calls: dict[str, list[Call]] = {}

    def keep(name: str, call: Call) -> None:
        calls.setdefault(name, []).append(call)

    unet, evaluate = model.unet, model.unet.forward_sinusoids
    total = preset.sampling.evaluations
    kept = [total * i // KEPT for i in range(KEPT)] if total >= KEPT else [0]
    done = 0

    def evaluate_and_keep(*arguments: torch.Tensor) -> torch.Tensor:
        nonlocal done
        output = evaluate(*arguments)
        if done in kept:
            keep("unet", Call(_detached(arguments), output.detach().clone()))
        done += 1
        progress(done, total)
        return output

    generator = torch.Generator().manual_seed(seed)
    h, w = preset.latent_size
    noise, again = (
        torch.randn(
            1, preset.unet.num_frames, preset.vae.latent_channels, h, w, generator=generator
        )
        for _ in range(2)
    )
    augmentation = torch.randn(1, 3, preset.height, preset.width, generator=generator)
    networks: dict[str, nn.Module] = {
        "image_encoder": model.image_encoder,
        "vae_encoder": model.vae.encoder,
        "vae_decoder": model.vae.decoder,
    }
    unet.forward_sinusoids = evaluate_and_keep  # type: ignore[method-assign, assignment]
    try:
        with _hooked(networks, keep):
            generate(model, picture, noise, augmentation, renoise=lambda step: again)
    finally:
        del unet.forward_sinusoids
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
    with _hooked(blocks_of(unet), calls.__setitem__):
        run(*arguments)
    return calls
