"""Random numbers of training that belong to a clip, not to a process or a micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch


class ClipNoise:
    """Draws for the clips of a micro-batch, each from a generator of its own.

    Clip ``index`` (counted over the whole run) of run ``seed`` sees the same numbers however a
    batch is cut among processes and micro-batches, and after a resume. ``salt`` tells apart the
    players of a game, which draw afresh. Numbers are drawn on the CPU.
    """

    def __init__(
        self, seed: int, indices: Sequence[int], salt: int = 0, device: torch.device | str = "cpu"
    ) -> None:
        self.device = device
        self.generators = [
            torch.Generator().manual_seed(
                int(np.random.SeedSequence([seed, salt, i]).generate_state(1, np.uint64)[0] >> 1)
            )
            for i in indices
        ]

    def _stacked(self, draw: Callable[[torch.Generator], torch.Tensor]) -> torch.Tensor:
        return torch.stack([draw(g) for g in self.generators]).to(self.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """N(0, 1) of [B, *shape]."""
        return self._stacked(lambda g: torch.randn(shape, generator=g))

    def uniform(self) -> torch.Tensor:
        """U[0, 1) of [B]."""
        return self._stacked(lambda g: torch.rand((), generator=g))

    def choice(self, weights: torch.Tensor) -> torch.Tensor:
        """An index of ``weights`` with their probabilities; int64 [B]."""
        ends = (weights / weights.sum()).double().cumsum(0)
        drawn = torch.searchsorted(ends, self.uniform().double().cpu())
        return drawn.clamp(max=len(weights) - 1).to(self.device)
