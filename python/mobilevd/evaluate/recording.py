"""What the stages of a model see and answer while it makes a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..models.parts import Parts
from ..models.store import Model
from ..models.unet import UNet
from ..presets import Preset


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


class RecordedStages:
    """A model whose networks tell ``keep(stage, call)`` of every call, the UNet where
    ``wanted(evaluation)``; ``with`` it, and let its parts make a clip.

    The UNet's arguments are those of its exported form: sinusoids in place of numbers. One network
    is recorded and held at a time: the last one that was asked for.
    """

    def __init__(
        self, model: Parts, keep: Keep, wanted: Callable[[int], bool] = lambda evaluation: True
    ) -> None:
        self._model, self._keep, self._wanted = model, keep, wanted
        self._evaluation = 0
        self._last = ExitStack()

    @property
    def preset(self) -> Preset:
        return self._model.preset

    @property
    def origin(self) -> str | None:
        return self._model.origin

    def part(self, name: str) -> Model:
        self._last.close()
        model = self._model.part(name)
        if name == "unet":
            self._last.enter_context(self._recording_unet(model.unet))
        elif name == "vae":
            networks = {"vae_encoder": model.vae.encoder, "vae_decoder": model.vae.decoder}
            self._last.enter_context(recording(networks, self._keep))
        else:
            self._last.enter_context(recording({name: model.networks()[name]}, self._keep))
        return model

    def __enter__(self) -> RecordedStages:
        return self

    def __exit__(self, *_: object) -> None:
        self._last.close()

    @contextmanager
    def _recording_unet(self, unet: UNet) -> Iterator[None]:
        evaluate = unet.forward_sinusoids

        def evaluate_and_keep(*arguments: torch.Tensor) -> torch.Tensor:
            output = evaluate(*arguments)
            if self._wanted(self._evaluation):
                self._keep("unet", _call(arguments, output))
            self._evaluation += 1
            return output

        unet.forward_sinusoids = evaluate_and_keep  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            del unet.forward_sinusoids
