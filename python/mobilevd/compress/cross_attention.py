"""Optimized cross-attention (MobileVD 3.2): lossless for one image token.

The context of SVD is one CLIP token. Softmax over one key is 1 for every query, so cross-attention
is to_out(to_v(token)), the same vector everywhere: norm2, to_q and to_k go.
"""

from __future__ import annotations

from dataclasses import replace

from ..models.unet import UNet
from .rebuild import rebuild


def collapse_cross_attention(unet: UNet) -> UNet:
    """A UNet of the same function for contexts [B, 1, D], without norm2, to_q and to_k.

    Shares the remaining parameters with the one given.
    """
    if unet.config.collapsed_cross_attention:
        raise ValueError("cross-attention is collapsed already")
    gone = (".attn2.to_q", ".attn2.to_k")
    ranks = tuple(r for r in unet.config.linear_ranks if not r[0].endswith(gone))
    config = replace(unet.config, collapsed_cross_attention=True, linear_ranks=ranks)
    return rebuild(unet, config)
