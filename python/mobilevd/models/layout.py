"""Where things are in the UNet: module paths worked out from the configuration, nothing built.

A path is the module's name in ``UNet.named_modules()``; the order is that of execution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import UNetConfig


def block_levels(config: UNetConfig) -> list[tuple[str, int]]:
    """(path of a down, mid or up block, its resolution level), level 0 the finest."""
    levels = len(config.block_out_channels)
    down = [(f"down_blocks.{i}", i) for i in range(levels)]
    up = [(f"up_blocks.{i}", levels - 1 - i) for i in range(levels)]
    return [*down, ("mid_block", levels - 1), *up]


def _layers(config: UNetConfig) -> list[tuple[str, str | None, int]]:
    """(path of a ResBlock, path of the transformer after it or None, level)."""
    found: list[tuple[str, str | None, int]] = []
    for block, level in block_levels(config):
        if block == "mid_block":
            found.append((f"{block}.resnets.0", f"{block}.attentions.0", level))
            found.append((f"{block}.resnets.1", None, level))
            continue
        layers = config.layers_per_block + block.startswith("up")
        for i in range(layers):
            attention = f"{block}.attentions.{i}" if config.attention_levels[level] else None
            found.append((f"{block}.resnets.{i}", attention, level))
    return found


def all_temporal_blocks(config: UNetConfig) -> list[str]:
    """Every temporal block of the unpruned UNet: 38 in SVD, 22 ResBlocks and 16 transformers.

    One temporal block is what one blend weight mixes in: a temporal ResBlock, or the temporal
    part of one transformer (all its layers, should it have more than SVD's one).
    """
    paths = []
    for resnet, attention, _ in _layers(config):
        paths.append(f"{resnet}.temporal_res_block")
        if attention is not None:
            paths.append(f"{attention}.temporal_transformer_blocks")
    return paths


def self_attentions(config: UNetConfig, kind: str) -> list[str]:
    """Paths of the self-attentions there are, ``kind`` "spatial" or "temporal"."""
    name = {"spatial": "transformer_blocks", "temporal": "temporal_transformer_blocks"}[kind]
    groups = [f"{a}.{name}" for _, a, _ in _layers(config) if a is not None]
    if kind == "temporal":
        groups = [g for g in groups if config.keeps(g)]
    layers = range(config.transformer_layers_per_block)
    return [f"{g}.{i}.attn1" for g in groups for i in layers]


def cross_attentions(config: UNetConfig) -> list[str]:
    """Paths of the cross-attentions there are, spatial and temporal."""
    own = self_attentions(config, "spatial") + self_attentions(config, "temporal")
    return [path.removesuffix("attn1") + "attn2" for path in own]


def res_blocks(config: UNetConfig) -> dict[str, int]:
    """Path -> width of the convolution pair of every spatial and remaining temporal ResBlock."""
    widths = {}
    for resnet, _, level in _layers(config):
        widths[f"{resnet}.spatial_res_block"] = config.block_out_channels[level]
        if config.keeps(f"{resnet}.temporal_res_block"):
            widths[f"{resnet}.temporal_res_block"] = config.block_out_channels[level]
    return widths


def level(config: UNetConfig, path: str) -> int:
    """Resolution level of a path inside a block, 0 the finest."""
    for block, found in block_levels(config):
        if path.startswith(block + "."):
            return found
    raise ValueError(f"{path} is in no block of the UNet")


def width(config: UNetConfig, path: str) -> int:
    """Channels of the features at a path inside a block."""
    return config.block_out_channels[level(config, path)]


def head_dim(config: UNetConfig, path: str) -> int:
    """Channels per head, before funnels, of the attention at a path."""
    return width(config, path) // config.num_attention_heads[level(config, path)]


def frames_at(config: UNetConfig, path: str) -> int:
    """Frames of the features at a path: fewer inside a UNet with temporal multiscaling."""
    last = len(config.block_out_channels) - 1
    outer = not path.startswith(("down_blocks", "mid_block", "up_blocks"))
    if outer or path.startswith(("down_blocks.0.", f"up_blocks.{last}.")):
        return config.num_frames
    return config.num_frames // config.temporal_factor
