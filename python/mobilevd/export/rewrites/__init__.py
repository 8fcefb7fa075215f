"""Exact rewrites before lowering: each takes a network and changes it in place.

``prepare(unet, backend)`` and ``prepare_vae(network, backend)`` compose a backend's on a copy.
None changes the function computed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from ...models.unet import UNet
from .attention import (
    chunk_spatial_attention,
    fold_scales,
    fuse_temporal_attention,
    write_out_spatial_attention,
    write_out_temporal_attention,
)
from .channels_last import put_channels_last
from .constants import fold_blends, fold_frame_positions, keep_the_mean
from .feed_forward import part_feed_forwards, split_feed_forwards
from .frames import part_group_norms, stack_frames
from .htp import write_out_temporal_attention_for_htp
from .one_clip import drop_the_batch, join_res_blocks, merge_token_attention

N = TypeVar("N", bound=nn.Module)

# By backend, in the order they are applied.
UNET_REWRITES: dict[str, tuple[Callable[[UNet], None], ...]] = {
    "xnnpack": (
        fuse_temporal_attention,
        write_out_spatial_attention,
        split_feed_forwards,
        fold_frame_positions,
        fold_blends,
    ),
    "vulkan": (
        write_out_temporal_attention,
        chunk_spatial_attention,
        fold_scales,
        split_feed_forwards,
        part_feed_forwards,
        fold_frame_positions,
        merge_token_attention,
        drop_the_batch,
        stack_frames,
        join_res_blocks,
        part_group_norms,
    ),
    "qnn": (
        write_out_temporal_attention_for_htp,
        write_out_spatial_attention,
        split_feed_forwards,
        fold_frame_positions,
        fold_blends,
    ),
}

# Of the VAE's encoder and decoder.
VAE_REWRITES: dict[str, tuple[Callable[[nn.Module], None], ...]] = {
    "xnnpack": (write_out_spatial_attention, fold_blends, keep_the_mean),
    "vulkan": (
        chunk_spatial_attention,
        fold_scales,
        fold_blends,
        keep_the_mean,
        stack_frames,
        part_group_norms,
    ),
    "qnn": (write_out_spatial_attention, fold_blends, keep_the_mean),
}


def prepare(unet: UNet, backend: str) -> UNet:
    """A copy of ``unet``, funnels merged and cross-attention collapsed, with the rewrites."""
    from ...compress.cross_attention import collapse_cross_attention
    from ...compress.funnels import merge_funnels

    unet = _copy(unet)
    if unet.config.unmerged_funnels:
        unet = merge_funnels(unet)
    if not unet.config.collapsed_cross_attention:
        unet = collapse_cross_attention(unet)
    for rewrite in UNET_REWRITES[backend]:
        rewrite(unet)
    if backend == "xnnpack":
        put_channels_last(unet)
    return unet.eval()


def prepare_block(block: nn.Module, backend: str) -> None:
    """The rewrites that a block of the UNet can have by itself, in place."""
    for rewrite in UNET_REWRITES[backend]:
        if rewrite is not fold_frame_positions:  # reads the UNet's configuration
            rewrite(block)  # type: ignore[arg-type]


def prepare_vae(network: nn.Module, backend: str) -> nn.Module:
    """A copy of an encoder or decoder with the rewrites."""
    network = _copy(network)
    for rewrite in VAE_REWRITES[backend]:
        rewrite(network)
    if backend == "xnnpack":
        put_channels_last(network)
    return network.eval()


def _copy(network: N) -> N:
    """Modules anew, parameters and buffers shared: rewrites replace, they never write into."""
    kept = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(tensor): tensor for tensor in kept})
