"""The stages of MobileVD's recipe and what its ablations change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STAGES = (
    "low_resolution",
    "cross_attention",
    "adversarial",
    "multiscaling",
    "pruning",
    "funnels",
)
PRUNINGS = ("learned", "l1", "random")


@dataclass(frozen=True)
class Options:
    """What the ablations change (paper's Tables 3 to 6)."""

    multiscaling: tuple[str, ...] = ("temporal",)
    pruned_share: float = 0.7
    pruning: str = "learned"
    fun_factor: float = 0.5
    funnel_layers: tuple[str, ...] = ("spatial",)
    funnel_init: str = "coupled"
    merged_first: bool = False
    temporal_heads: bool = True

    def __post_init__(self) -> None:
        if self.pruning not in PRUNINGS:
            raise ValueError(f"unknown pruning '{self.pruning}'; known: {', '.join(PRUNINGS)}")
        if not 0 <= self.pruned_share < 1:
            raise ValueError(f"pruned_share must be in [0, 1), not {self.pruned_share}")
        unknown = set(self.multiscaling) - {"temporal", "spatial"}
        if unknown:
            raise ValueError(f"unknown multiscaling '{unknown.pop()}'; known: temporal, spatial")

    def kept(self, blocks: Sequence[str]) -> int:
        return round(len(blocks) * (1 - self.pruned_share))
