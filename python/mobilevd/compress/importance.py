"""Which temporal blocks matter: gates sampled while training (MobileVD 3.5), and an L1 rival.

A temporal block adds (1 - alpha)(x_t - x_s) to the spatial features x_s. A gate z in {0, 1}
multiplies that. Of N blocks exactly n are open in each step; block i with probability p_i, where
p = sigmoid(q + b), q is learned and b makes the p sum to n. The gradient passes straight through
z to p. The paper's sampler is not in what we have; systematic sampling over a random order opens
exactly n blocks with exactly these probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ..models.plan import temporal_blocks
from ..models.transformer import AlphaBlender
from ..models.unet import UNet
from .temporal_blocks import prune_temporal_blocks


def inclusion_probabilities(importance: torch.Tensor, n: int) -> torch.Tensor:
    """p = sigmoid(q + b) with sum p = n; [N] -> [N], differentiable, float64.

    b comes from bisection; one Newton step from there, where it no longer moves, carries the
    gradient of b with respect to q.
    """
    q = importance.double()
    if n in (0, len(q)):
        return torch.full_like(q, float(n > 0)) + 0.0 * q
    with torch.no_grad():
        low, high = -q.max() - 50.0, -q.min() + 50.0
        for _ in range(100):
            b = (low + high) / 2
            low, high = (b, high) if torch.sigmoid(q + b).sum() < n else (low, b)
        p = torch.sigmoid(q + b)
        slope = (p * (1 - p)).sum().clamp_min(1e-12)
    b = b - (torch.sigmoid(q + b).sum() - n) / slope
    return torch.sigmoid(q + b)


def sample_without_replacement(
    probabilities: torch.Tensor, n: int, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Exactly n ones in [N], each at i with probability p_i (sum p = n): systematic sampling.

    The p lie end to end on [0, n) in a random order; n points one apart, from a uniform start,
    each pick the block they fall into. No block is wider than 1, so none is picked twice.
    """
    p = probabilities.detach().double().cpu()
    order = torch.randperm(len(p), generator=generator)
    ends = p[order].cumsum(0)
    start = torch.rand((), dtype=torch.float64, generator=generator)
    # The number of points below each end: it grows by one at each block that holds a point.
    below = torch.ceil(ends - start).clamp(0, n)
    if n:
        below[-1] = n  # whatever the sum was rounded to
    z = torch.zeros_like(p)
    z[order] = below.diff(prepend=torch.zeros(1, dtype=torch.float64)).clamp(0, 1)
    # Rounding can leave n - 1 where two p of 1 meet; the likeliest closed block takes the place.
    while int(z.sum()) < n:
        z[(p - 2 * z).argmax()] = 1.0
    return z.to(probabilities.device)


def mixers(unet: UNet) -> dict[str, AlphaBlender]:
    """Temporal block -> the blend that mixes it in."""
    found = {}
    for path in temporal_blocks(unet.config):
        mixer = unet.get_submodule(path.rpartition(".")[0] + ".time_mixer")
        assert isinstance(mixer, AlphaBlender)
        found[path] = mixer
    return found


def _check(n: int, blocks: Sequence[str]) -> None:
    if not 0 <= n <= len(blocks):
        raise ValueError(f"n temporal blocks to keep must be in 0..{len(blocks)}, not {n}")


class TemporalBlockPruner(nn.Module):
    """Learned importances of a UNet's temporal blocks and the gates they drive.

    Train ``pruner.parameters()`` (the importances, with a learning rate of their own) with the
    UNet's; call ``sample()`` before each step and ``loss.backward()`` as ever. ``keep_top()`` ends
    it. The gates act through hooks: the UNet's own modules and weights are untouched.
    """

    def __init__(self, unet: UNet, n: int) -> None:
        super().__init__()
        self.blocks = temporal_blocks(unet.config)
        _check(n, self.blocks)
        self.n = n
        self.importance = nn.Parameter(torch.zeros(len(self.blocks)))
        self.gates: torch.Tensor | None = None
        self._unet = (unet,)  # in a tuple: no sub-module, its weights are not ours
        self._hooks: list[RemovableHandle] = []
        for i, mixer in enumerate(mixers(unet).values()):
            self._hooks.append(mixer.register_forward_pre_hook(self._gate(i)))

    def _gate(self, i: int):  # type: ignore[no-untyped-def]
        def hook(
            module: nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]
        ) -> tuple[torch.Tensor, torch.Tensor] | None:
            if self.gates is None:
                return None
            spatial, temporal = inputs
            gate = self.gates[i].to(spatial)
            return spatial, spatial + gate * (temporal - spatial)

        return hook

    def probabilities(self) -> torch.Tensor:
        """Inclusion probabilities [N], which sum to n."""
        return inclusion_probabilities(self.importance, self.n)

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """Opens n gates for the next steps; [N] of 0 and 1, with the gradient of p."""
        p = self.probabilities()
        z = sample_without_replacement(p, self.n, generator)
        self.gates = z + (p - p.detach())
        return self.gates

    def top(self, n: int | None = None) -> list[str]:
        """The n blocks of greatest importance (default: the pruner's n), in order of execution."""
        n = self.n if n is None else n
        _check(n, self.blocks)
        order = torch.argsort(self.importance.detach(), descending=True, stable=True)
        return [self.blocks[i] for i in sorted(order[:n].tolist())]

    def fix_top(self) -> None:
        """Opens the gates of ``top()`` for good: the last phase of training."""
        top = set(self.top())
        self.gates = torch.tensor([float(b in top) for b in self.blocks], dtype=torch.float64)

    def detach_gates(self) -> None:
        """Leaves the UNet as it was."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.gates = None

    def keep_top(self, n: int | None = None) -> UNet:
        """Deletes all but the top n temporal blocks; the gates are gone from the UNet given."""
        keep = self.top(n)
        self.detach_gates()
        return prune_temporal_blocks(self._unet[0], keep)


class L1Pruner:
    """Table 6's rival: a penalty on the blend weights, then a choice by their size.

    It does not control how many blocks survive: n, or ``above(threshold)``, is chosen afterwards.
    """

    def __init__(self, unet: UNet, strength: float = 1e-2) -> None:
        self.unet = unet
        self.strength = strength

    def weights(self) -> Mapping[str, torch.Tensor]:
        """Temporal block -> 1 - alpha, the share of the temporal path."""
        return {
            path: 1.0 - torch.sigmoid(mixer.mix_factor).squeeze()
            for path, mixer in mixers(self.unet).items()
        }

    def penalty(self) -> torch.Tensor:
        """strength * sum |1 - alpha|, to be added to the loss."""
        return self.strength * torch.stack([w.abs() for w in self.weights().values()]).sum()

    def above(self, threshold: float) -> list[str]:
        return [
            path for path, weight in self.weights().items() if float(weight.detach()) > threshold
        ]

    def keep_top(self, n: int) -> UNet:
        """Deletes all but the n temporal blocks of the largest 1 - alpha."""
        weights = self.weights()
        _check(n, list(weights))
        ranked = sorted(weights, key=lambda path: -float(weights[path].detach()))
        return prune_temporal_blocks(self.unet, ranked[:n])
