"""What the stages of a model see and answer while it makes a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..models.store import Model


@dataclass(frozen=True)
class Call:
    """``arguments`` as given, tensors and numbers; ``output`` of one call."""

    arguments: tuple[Any, ...]
    output: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(a for a in self.arguments if isinstance(a, torch.Tensor))


Keep = Callable[[str, Call], object]


def _call(arguments: Iterable[Any], output: torch.Tensor) -> Call:
    copies = (a.detach().clone() if isinstance(a, torch.Tensor) else a for a in arguments)
    return Call(tuple(copies), output.detach().clone())


@contextmanager
def recording(networks: Mapping[str, nn.Module], keep: Keep) -> Iterator[None]:
    """``keep(name, call)`` at every call of a network, with copies."""

    def hook(name: str) -> Any:
        def called(_: nn.Module, arguments: tuple[Any, ...], output: torch.Tensor) -> None:
            keep(name, _call(arguments, output))

        return called

    hooks = [network.register_forward_hook(hook(name)) for name, network in networks.items()]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


@contextmanager
def recording_stages(
    model: Model, keep: Keep, wanted: Callable[[int], bool] = lambda evaluation: True
) -> Iterator[None]:
    """``keep(stage, call)`` at every call of a stage, of the UNet where ``wanted(evaluation)``.

    The UNet's arguments are those of its exported form: sinusoids in place of numbers.
    """
    unet, evaluate = model.unet, model.unet.forward_sinusoids
    evaluation = 0

    def evaluate_and_keep(*arguments: torch.Tensor) -> torch.Tensor:
        nonlocal evaluation
        output = evaluate(*arguments)
        if wanted(evaluation):
            keep("unet", _call(arguments, output))
        evaluation += 1
        return output

    networks = {
        "image_encoder": model.image_encoder,
        "vae_encoder": model.vae.encoder,
        "vae_decoder": model.vae.decoder,
    }
    unet.forward_sinusoids = evaluate_and_keep  # type: ignore[method-assign, assignment]
    try:
        with recording(networks, keep):
            yield
    finally:
        del unet.forward_sinusoids
