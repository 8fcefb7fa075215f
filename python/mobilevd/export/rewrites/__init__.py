"""Exact rewrites before lowering: each takes a network and changes it in place.

``prepare(unet, backend)`` and ``prepare_vae(network, backend)`` compose a backend's on a copy.
None changes the function computed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

from ...models.unet import UNet
from .attention import fuse_temporal_attention, write_out_spatial_attention
from .constants import fold_blends, fold_frame_positions, keep_the_mean
from .feed_forward import split_feed_forwards
from .htp import write_out_temporal_attention_for_htp

# By backend, in the order they are applied.
UNET_REWRITES: dict[str, tuple[Callable[[UNet], None], ...]] = {
    "xnnpack": (
        fuse_temporal_attention,
        write_out_spatial_attention,
        split_feed_forwards,
        fold_frame_positions,
        fold_blends,
    ),
    "qnn": (
        write_out_temporal_attention_for_htp,
        write_out_spatial_attention,
        split_feed_forwards,
        fold_frame_positions,
        fold_blends,
    ),
}

# Of the VAE's encoder and decoder; TAESD's has nothing to rewrite for XNNPACK.
VAE_REWRITES: dict[str, tuple[Callable[[nn.Module], None], ...]] = {
    "xnnpack": (write_out_spatial_attention, fold_blends, keep_the_mean),
    "qnn": (write_out_spatial_attention, fold_blends, keep_the_mean),
}


def prepare(unet: UNet, backend: str) -> UNet:
    """A copy of ``unet``, funnels merged and cross-attention collapsed, with the rewrites."""
    from ...compress.cross_attention import collapse_cross_attention
    from ...compress.funnels import merge_funnels

    unet = copy.deepcopy(unet)
    if unet.config.unmerged_funnels:
        unet = merge_funnels(unet)
    if not unet.config.collapsed_cross_attention:
        unet = collapse_cross_attention(unet)
    for rewrite in UNET_REWRITES[backend]:
        rewrite(unet)
    return unet.eval()


def prepare_block(block: nn.Module, backend: str) -> None:
    """The rewrites that a block of the UNet can have by itself, in place."""
    for rewrite in UNET_REWRITES[backend]:
        if rewrite is not fold_frame_positions:  # reads the UNet's configuration
            rewrite(block)  # type: ignore[arg-type]


def prepare_vae(network: nn.Module, backend: str) -> nn.Module:
    """A copy of an encoder or decoder with the rewrites."""
    network = copy.deepcopy(network)
    for rewrite in VAE_REWRITES[backend]:
        rewrite(network)
    return network.eval()
