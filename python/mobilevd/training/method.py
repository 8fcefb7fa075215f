"""What the loop asks of a training method: its players and their losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from .clip_noise import ClipNoise
from .data import Batch


@dataclass(frozen=True)
class Player:
    """What one optimizer moves: the whole of a simple training, or one side of a game.

    A player moves at steps divisible by ``every``; ``learning_rate`` None: the run's. Parameters
    whose names start with a key of ``rates`` move that many times as fast.
    """

    name: str
    module: nn.Module
    learning_rate: float | None = None
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float | None = None
    every: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Loss:
    """``total`` [] is what the player minimises, a mean over the clips of the micro-batch;
    ``parts`` are logged."""

    total: torch.Tensor
    parts: Mapping[str, torch.Tensor]


class Method(Protocol):
    """A method depends on its weights, the batch, the noise and the step: on nothing else.

    ``players`` move in their order (a discriminator before the generator, paper 3.2). Each
    player's EMA is kept; the first named ``result`` is what the run is about.
    """

    players: Sequence[Player]
    result: str

    def loss(self, player: str, batch: Batch, noise: ClipNoise) -> Loss: ...

    def before_step(self, step: int, generator: torch.Generator) -> None:
        """Draws what belongs to a whole step (gates of temporal blocks), same in every process."""
        return None

    def after_step(self, step: int) -> None:
        """Moves what no optimizer moves (a target network)."""
        return None

    def buffers(self) -> Mapping[str, nn.Module]:
        """Networks that ``after_step`` moves: part of a checkpoint."""
        return {}


def networks_of(method: Method) -> Iterable[nn.Module]:
    """Every network that a method holds, each once: players', buffers, models, encoders."""
    seen: dict[int, nn.Module] = {}

    def look(value: Any, depth: int) -> None:
        if isinstance(value, nn.Module):
            seen.setdefault(id(value), value)
        elif depth and hasattr(value, "__dict__"):
            for inner in vars(value).values():
                look(inner, depth - 1)

    look(method, 3)
    for player in method.players:
        look(player.module, 0)
    return seen.values()


def moved(method: Method, device: torch.device | str) -> Method:
    """The method with all its networks there: what stands still (teacher, VAE) as what trains."""
    for network in networks_of(method):
        network.to(device)
    return method
