"""All steps at once: from an uncompressed UNet to a preset's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial

from ..models import layout
from ..models.config import UNetConfig
from ..models.unet import UNet
from .cross_attention import collapse_cross_attention
from .funnels import add_funnels, merge_funnels
from .multiscaling import add_spatial_multiscaling, add_temporal_multiscaling
from .rebuild import rebuild
from .temporal_blocks import prune_temporal_blocks

Step = tuple[str, Callable[[UNet], UNet]]


def compress_to(
    unet: UNet,
    config: UNetConfig,
    init: str = "coupled",
    progress: Callable[[int, int, str], object] = lambda done, total, what: None,
) -> UNet:
    """``unet`` with the steps that ``config`` records, in the paper's order; shares parameters.

    Steps that ``unet`` has already are not repeated. The result has exactly that configuration;
    ValueError names the entries that no step can change. ``init`` is as in :func:`add_funnels`;
    ``progress`` hears of (steps done, their number, the next one).
    """
    if config.linear_ranks:
        raise ValueError("factorised attention is an ablation, not a step of the recipe")
    if config.num_frames != unet.config.num_frames:  # no weight depends on it
        unet = rebuild(unet, replace(unet.config, num_frames=config.num_frames))
    steps = _steps(unet.config, config, init)
    for i, (name, step) in enumerate(steps):
        progress(i, len(steps), name)
        unet = step(unet)
    different = [
        f.name for f in fields(config) if getattr(config, f.name) != getattr(unet.config, f.name)
    ]
    if different:
        raise ValueError(f"no compression step leads there: {', '.join(different)} differ")
    return unet


def _steps(there: UNetConfig, wanted: UNetConfig, init: str) -> list[Step]:
    """What leads from one configuration to the other, as far as steps can."""
    steps: list[Step] = []
    if wanted.collapsed_cross_attention and not there.collapsed_cross_attention:
        steps.append(("collapse cross-attention", collapse_cross_attention))
    if wanted.temporal_factor > there.temporal_factor:
        factor, operator = wanted.temporal_factor, wanted.temporal_operator
        temporal = partial(add_temporal_multiscaling, factor=factor, operator=operator)
        steps.append(("temporal multiscaling", temporal))
    if wanted.spatial_factor > there.spatial_factor:
        spatial = partial(add_spatial_multiscaling, factor=wanted.spatial_factor)
        steps.append(("spatial multiscaling", spatial))
    if wanted.temporal_blocks not in (None, there.temporal_blocks):
        prune = partial(prune_temporal_blocks, keep=wanted.temporal_blocks)
        steps.append(("prune temporal blocks", prune))
    factors = _fun_factors(wanted, there)
    if factors:
        steps.append(("channel funnels", partial(add_funnels, fun_factor=factors, init=init)))
    if (factors or there.unmerged_funnels) and not wanted.unmerged_funnels:
        steps.append(("merge funnels", merge_funnels))
    return steps


def _fun_factors(wanted: UNetConfig, there: UNetConfig) -> Mapping[str, float]:
    factors = {
        path: qk / layout.head_dim(wanted, path)
        for path, qk, _ in wanted.attention_widths
        if there.attention_width(path) is None
    }
    full = layout.res_blocks(wanted)
    return factors | {
        path: width / full[path]
        for path, width in wanted.resblock_widths
        if there.resblock_width(path) is None
    }
