"""All steps at once: from an uncompressed UNet to a preset's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from ..models import layout
from ..models.config import UNetConfig
from ..models.unet import UNet
from .cross_attention import collapse_cross_attention
from .funnels import add_funnels, merge_funnels
from .multiscaling import add_spatial_multiscaling, add_temporal_multiscaling
from .temporal_blocks import prune_temporal_blocks


def compress_to(unet: UNet, config: UNetConfig) -> UNet:
    """``unet`` with the steps that ``config`` records, in the paper's order; shares parameters.

    Steps that ``unet`` has already are not repeated. The result has exactly that configuration,
    except for the number of frames; ValueError names the entries that no step can change.
    """
    if config.linear_ranks:
        raise ValueError("factorised attention is an ablation, not a step of the recipe")
    if config.collapsed_cross_attention and not unet.config.collapsed_cross_attention:
        unet = collapse_cross_attention(unet)
    if config.temporal_factor > unet.config.temporal_factor:
        unet = add_temporal_multiscaling(unet, config.temporal_factor, config.temporal_operator)
    if config.spatial_factor > unet.config.spatial_factor:
        unet = add_spatial_multiscaling(unet, config.spatial_factor)
    if config.temporal_blocks not in (None, unet.config.temporal_blocks):
        assert config.temporal_blocks is not None
        unet = prune_temporal_blocks(unet, config.temporal_blocks)
    factors = _fun_factors(config, unet.config)
    if factors:
        unet = add_funnels(unet, factors)
    if unet.config.unmerged_funnels and not config.unmerged_funnels:
        unet = merge_funnels(unet)
    different = [
        f.name
        for f in fields(config)
        if f.name != "num_frames" and getattr(config, f.name) != getattr(unet.config, f.name)
    ]
    if different:
        raise ValueError(f"no compression step leads there: {', '.join(different)} differ")
    return unet


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
