"""Configurations of compressed UNets, from configuration to configuration, no weights involved.

``compress`` does the same to a model with its weights; presets and FLOP tables need only this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from . import layout
from .config import UNetConfig

LAYERS = ("spatial", "temporal", "convolutions")
HEAD_MULTIPLE = 8  # the kernels take head widths of 8, 16, ... 128
CONVOLUTION_MULTIPLE = 32  # GroupNorm's groups


def funnel_width(channels: int, fun_factor: float, multiple: int) -> int:
    """Channels after a funnel: a fun-factor in (0, 1] of ``channels``, to a near multiple."""
    if not 0.0 < fun_factor <= 1.0:
        raise ValueError(f"a fun-factor must be in (0, 1], not {fun_factor:g}")
    rounded = multiple * int(fun_factor * channels / multiple + 0.5)
    return min(channels, max(multiple, rounded))


def with_funnels(
    config: UNetConfig,
    fun_factor: float | Mapping[str, float] = 0.5,
    layers: Sequence[str] = ("spatial",),
) -> UNetConfig:
    """The configuration with merged funnels, no weights involved.

    ``fun_factor`` holds for all of ``layers`` ("spatial" and "temporal" self-attention,
    "convolutions"), or is a mapping from module path to factor, which then says the layers, too.
    A convolution pair that keeps its width gets no funnel.
    """
    if not isinstance(fun_factor, Mapping):
        fun_factor = dict.fromkeys(_paths(config, layers), fun_factor)
    attentions, resblocks = list(config.attention_widths), list(config.resblock_widths)
    taken = {path for path, *_ in (*attentions, *resblocks)}
    convolutions = layout.res_blocks(config)
    for path, factor in fun_factor.items():
        if path in taken:
            raise ValueError(f"{path} has a funnel already")
        if path in convolutions:
            width = funnel_width(convolutions[path], factor, CONVOLUTION_MULTIPLE)
            if width < convolutions[path]:
                resblocks.append((path, width))
        else:
            width = funnel_width(layout.head_dim(config, path), factor, HEAD_MULTIPLE)
            attentions.append((path, width, width))
    return replace(config, attention_widths=tuple(attentions), resblock_widths=tuple(resblocks))


def _paths(config: UNetConfig, layers: Sequence[str]) -> list[str]:
    unknown = sorted(set(layers) - set(LAYERS))
    if unknown:
        raise ValueError(f"no funnels on '{unknown[0]}'; known: {', '.join(LAYERS)}")
    paths: list[str] = []
    for kind in layers:
        convolutions = kind == "convolutions"
        paths += layout.res_blocks(config) if convolutions else layout.self_attentions(config, kind)
    return paths


def temporal_blocks(config: UNetConfig) -> list[str]:
    """Paths of the temporal blocks there are, in the order of execution (SVD: 38)."""
    return [path for path in layout.all_temporal_blocks(config) if config.keeps(path)]


def with_temporal_blocks(config: UNetConfig, keep: Sequence[str]) -> UNetConfig:
    """The configuration with these temporal blocks only; what lived in the others goes, too."""
    there = temporal_blocks(config)
    unknown = sorted(set(keep) - set(there))
    if unknown:
        raise ValueError(f"no temporal block {unknown[0]} in this UNet")
    gone = [path for path in there if path not in keep]

    def stays(path: str) -> bool:
        return not any(path == g or path.startswith(f"{g}.") for g in gone)

    return replace(
        config,
        temporal_blocks=tuple(path for path in there if path in keep),
        attention_widths=tuple(e for e in config.attention_widths if stays(e[0])),
        resblock_widths=tuple(e for e in config.resblock_widths if stays(e[0])),
        linear_ranks=tuple(e for e in config.linear_ranks if stays(e[0])),
    )


def with_factorised_attention(config: UNetConfig, ratio: float) -> UNetConfig:
    """All projections of self- and cross-attention at ``ratio`` of their full rank."""
    if config.attention_widths:
        raise ValueError("factorising attention and funnels on attention exclude each other")
    names = ("to_q", "to_k", "to_v", "to_out")
    collapsed = config.collapsed_cross_attention
    ranks = []
    for kind in ("spatial", "temporal"):
        for path in layout.self_attentions(config, kind):
            dim = layout.width(config, path)
            cross = path.removesuffix("attn1") + "attn2"
            context = min(dim, config.cross_attention_dim)
            ranks += [(f"{path}.{n}", funnel_width(dim, ratio, 1)) for n in names]
            for n in names[2:] if collapsed else names:
                full = context if n in ("to_k", "to_v") else dim
                ranks.append((f"{cross}.{n}", funnel_width(full, ratio, 1)))
    return replace(config, linear_ranks=tuple(ranks))


def fitted_temporal_blocks(config: UNetConfig, n: int) -> list[str]:
    """The n temporal blocks we keep where the paper does not say which it kept: fitted.

    Transformers before ResBlocks, finer levels first, then the order of execution: with multiscaled
    frames, the costliest ones. Only such sets meet the FLOPs of Table 6 at 90, 80 and 70 %.
    """

    def rank(path: str) -> tuple[bool, int]:
        return path.endswith("temporal_res_block"), layout.level(config, path)

    blocks = temporal_blocks(config)
    if not 0 <= n <= len(blocks):
        raise ValueError(f"n temporal blocks to keep must be in 0..{len(blocks)}, not {n}")
    return sorted(blocks, key=rank)[:n]
