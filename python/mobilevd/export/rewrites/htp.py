"""What Qualcomm's HTP needs beside the other backends' rewrites."""

from __future__ import annotations

import torch

from ...models.attention import SelfAttention, temporal_attention
from ...models.unet import UNet


def temporal_attention_by_columns(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_heads: int, scale: float
) -> torch.Tensor:
    """bmm, softmax, bmm over [B * S * heads, F, d]: three dimensions throughout."""
    batch, frames, positions, _ = q.shape
    columns = positions * num_heads

    def split(x: torch.Tensor) -> torch.Tensor:  # [B, F, S, C] -> [B * S * heads, F, d]
        x = x.view(batch, frames, columns, x.shape[3] // num_heads).transpose(1, 2)
        return x.reshape(batch * columns, frames, x.shape[3])

    scores = torch.bmm(split(q) * scale, split(k).transpose(1, 2))
    out = torch.bmm(torch.softmax(scores, dim=-1), split(v))
    out = out.view(batch, columns, frames, -1).transpose(1, 2)
    return out.reshape(batch, frames, positions, -1)


def write_out_temporal_attention_for_htp(unet: UNet) -> None:
    """HTP has neither our kernel nor five dimensions, which SDPA over positions and heads has."""
    for module in unet.modules():
        if isinstance(module, SelfAttention) and module.core is temporal_attention:
            module.core = temporal_attention_by_columns
