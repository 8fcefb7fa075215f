"""The cores of attention: one fused node, or products that delegates take."""

from __future__ import annotations

import torch
from torch import nn

from ...models.attention import SelfAttention, spatial_attention, temporal_attention
from ...models.unet import UNet
from ...models.vae_blocks import PictureAttention


def fuse_temporal_attention(unet: UNet) -> None:
    """Temporal cores become ``mobilevd::temporal_attention``: one node, no permutes.

    Needed by every CPU flavour; SDPA would leave a dozen small ops beside the delegate.
    """
    from ...kernels import torch_ops  # noqa: F401  (registers the op)

    op = torch.ops.mobilevd.temporal_attention
    for module in unet.modules():
        if isinstance(module, SelfAttention) and module.core is temporal_attention:
            module.core = lambda q, k, v, heads, scale: op(q, k, v, heads, scale)


def written_out_spatial_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_heads: int, scale: float
) -> torch.Tensor:
    """bmm, softmax, bmm: what delegates take (SDPA adds a fully-masked-row guard).

    Three dimensions throughout: matmul of four lowers with copies made by ``expand``.
    """
    n, positions, _ = q.shape

    def split(x: torch.Tensor) -> torch.Tensor:  # [N, S, C] -> [N * heads, S, d]
        x = x.view(n, x.shape[1], num_heads, x.shape[2] // num_heads).transpose(1, 2)
        return x.reshape(n * num_heads, x.shape[2], x.shape[3])

    scores = torch.bmm(split(q) * scale, split(k).transpose(1, 2))
    out = torch.bmm(torch.softmax(scores, dim=-1), split(v))
    out = out.view(n, num_heads, positions, -1).transpose(1, 2)
    return out.reshape(n, positions, -1)


def write_out_spatial_attention(network: nn.Module) -> None:
    for module in network.modules():
        if not isinstance(module, SelfAttention | PictureAttention):
            continue
        if module.core is spatial_attention:
            module.core = written_out_spatial_attention
