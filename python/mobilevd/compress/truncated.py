"""Truncated singular decomposition of single attention layers: Table 5's rival of funnels.

Every projection of every attention becomes a product of two thinner ones. A rank of half the width
saves nothing: that is why the paper's row at r = 0.5 has the original's FLOPs.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from ..models.plan import with_factorised_attention
from ..models.unet import UNet
from .rebuild import rebuild


@torch.no_grad()
def factorise_attention(unet: UNet, ratio: float) -> UNet:
    """The UNet with each attention projection as up(down(x)), nearest in the Frobenius norm."""
    if unet.config.linear_ranks:
        raise ValueError("attention is factorised already")
    config = with_factorised_attention(unet.config, ratio)
    changed: dict[str, torch.Tensor] = {}
    for path, rank in config.linear_ranks:
        linear = cast(nn.Linear, unet.get_submodule(path))
        u, s, vh = torch.linalg.svd(linear.weight.double(), full_matrices=False)
        root = s[:rank].sqrt()
        changed[f"{path}.up.weight"] = (u[:, :rank] * root).to(linear.weight.dtype)
        changed[f"{path}.down.weight"] = (root[:, None] * vh[:rank]).to(linear.weight.dtype)
        if linear.bias is not None:
            changed[f"{path}.up.bias"] = linear.bias
    return rebuild(unet, config, changed)
