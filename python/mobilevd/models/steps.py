"""Which compression steps to take, apart from the widths of the UNet that takes them.

A preset's steps fit SVD's depth at any width; each may be given otherwise. ``laid_out`` says what
comes of them for one configuration, so that what cannot work is refused before weights are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from . import layout
from .config import UNetConfig
from .plan import fitted_temporal_blocks, with_funnels, with_temporal_blocks


@dataclass(frozen=True)
class Steps:
    """The lossless collapse of cross-attention is always one of them.

    ``temporal_operator`` None: no temporal multiscaling. ``temporal_blocks``: which survive, or how
    many (the fitted choice), None: all there are. ``fun_factors``: by module path, or one for all
    of ``funnel_layers``; None: no funnels.
    """

    temporal_operator: str | None = None
    spatial_multiscaling: bool = False
    temporal_blocks: tuple[str, ...] | int | None = None
    fun_factors: Mapping[str, float] | float | None = None
    funnel_layers: tuple[str, ...] = ("spatial",)
    unmerged_funnels: bool = False

    @classmethod
    def of(cls, config: UNetConfig) -> Steps:
        """The steps that a configuration records."""
        full = layout.res_blocks(config)
        attentions = {
            path: qk / layout.head_dim(config, path) for path, qk, _ in config.attention_widths
        }
        convolutions = {path: width / full[path] for path, width in config.resblock_widths}
        return cls(
            config.temporal_operator if config.temporal_factor > 1 else None,
            config.spatial_factor > 1,
            config.temporal_blocks,
            attentions | convolutions or None,
            unmerged_funnels=config.unmerged_funnels,
        )

    def laid_out(self, start: UNetConfig) -> UNetConfig:
        """The configuration they lead to from ``start``; what it has already stays.

        ValueError, one line: odd frames with temporal multiscaling, an unknown operator or kind of
        layer, a fun-factor outside (0, 1], more temporal blocks than there are, or paths of another
        depth.
        """
        config = replace(start, collapsed_cross_attention=True)
        if self.temporal_operator is not None:
            if start.temporal_factor > 1 and start.temporal_operator != self.temporal_operator:
                raise ValueError(f"temporal multiscaling is there, by {start.temporal_operator}")
            config = replace(config, temporal_factor=2, temporal_operator=self.temporal_operator)
        if self.spatial_multiscaling:
            config = replace(config, spatial_factor=2)
        if self.temporal_blocks is not None:
            keep = self.temporal_blocks
            if isinstance(keep, int):
                keep = tuple(fitted_temporal_blocks(config, keep))
            config = with_temporal_blocks(config, keep)
        if self.fun_factors is not None:
            config = with_funnels(config, self.fun_factors, self.funnel_layers)
        funnels = config.attention_widths or config.resblock_widths
        return replace(config, unmerged_funnels=self.unmerged_funnels and bool(funnels))
