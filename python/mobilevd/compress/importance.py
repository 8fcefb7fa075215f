"""Which temporal blocks matter: gates sampled while training (MobileVD 3.5), and an L1 rival.

A temporal block adds (1 - alpha)(x_t - x_s) to the spatial features x_s. A gate z in {0, 1}
multiplies that. Of N blocks exactly n are open in each step; block i with probability p_i, where
p = sigmoid(q + b), q is learned and b makes the p sum to n. The gradient passes straight through
z to p. The paper's sampler is not in what we have; systematic sampling over a random order opens
exactly n blocks with exactly these probabilities.
"""

from __future__ import annotations

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


class TemporalGates(nn.Module):
    """Gates on a UNet's temporal blocks, of which ``n`` stay.

    They act through hooks: the UNet's own modules and weights are untouched. ``fix_top()`` is the
    last phase of training, ``keep_top()`` the end.
    """

    def __init__(self, unet: UNet, n: int) -> None:
        super().__init__()
        self.blocks = temporal_blocks(unet.config)
        if not 0 <= n <= len(self.blocks):
            raise ValueError(f"n temporal blocks to keep must be in 0..{len(self.blocks)}, not {n}")
        self.n = n
        self.gates: torch.Tensor | None = None  # None: all open
        self._unet = (unet,)  # in a tuple: no sub-module, its weights are not ours
        self._hooks: list[RemovableHandle] = []
        for i, mixer in enumerate(mixers(unet).values()):
            self._hooks.append(mixer.register_forward_pre_hook(self._gate(i)))

    def scores(self) -> torch.Tensor:
        """[N], the greater the more a block matters."""
        raise NotImplementedError

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

    def top(self) -> list[str]:
        """The n blocks of the greatest scores, in order of execution."""
        order = torch.argsort(self.scores().detach(), descending=True, stable=True)
        return [self.blocks[i] for i in sorted(order[: self.n].tolist())]

    def fix_top(self) -> None:
        """Opens the gates of ``top()`` for good."""
        top = set(self.top())
        self.gates = torch.tensor([float(b in top) for b in self.blocks], dtype=torch.float64)

    def keep_top(self) -> UNet:
        """Deletes all but the top n temporal blocks; the gates are gone from the UNet given."""
        keep = self.top()
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.gates = None
        return prune_temporal_blocks(self._unet[0], keep)


class TemporalBlockPruner(TemporalGates):
    """Learned importances, which the gates are sampled by.

    Train ``pruner.parameters()`` (the importances, with a learning rate of their own) with the
    UNet's; call ``sample()`` before each step and ``loss.backward()`` as ever.
    """

    def __init__(self, unet: UNet, n: int) -> None:
        super().__init__(unet, n)
        self.importance = nn.Parameter(torch.zeros(len(self.blocks)))

    def scores(self) -> torch.Tensor:
        return self.importance

    def probabilities(self) -> torch.Tensor:
        """Inclusion probabilities [N], which sum to n."""
        return inclusion_probabilities(self.importance, self.n)

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """Opens n gates for the next steps; [N] of 0 and 1, with the gradient of p."""
        p = self.probabilities()
        z = sample_without_replacement(p, self.n, generator)
        self.gates = z + (p - p.detach())
        return self.gates


class L1Pruner(TemporalGates):
    """Table 6's rival: a penalty on the blend weights, then a choice by their size.

    The choice is a buffer: what trains on after it, closed blocks' momentum included, leaves it.
    """

    chosen: torch.Tensor

    def __init__(self, unet: UNet, n: int, strength: float = 1e-2) -> None:
        super().__init__(unet, n)
        self.strength = strength
        self.register_buffer("chosen", torch.zeros(len(self.blocks)))  # until then: all 0

    def weights(self) -> torch.Tensor:
        """1 - alpha of each block, the share of the temporal path; [N]."""
        found = [m.mix_factor.reshape(()) for m in mixers(self._unet[0]).values()]
        return 1.0 - torch.sigmoid(torch.stack(found))

    def scores(self) -> torch.Tensor:
        return self.chosen if self.chosen.any() else self.weights()

    def penalty(self) -> torch.Tensor:
        """strength * sum |1 - alpha|, to be added to the loss until ``fix_top()``."""
        return self.strength * self.weights().abs().sum()

    def fix_top(self) -> None:
        super().fix_top()
        assert self.gates is not None
        self.chosen.copy_(self.gates)
