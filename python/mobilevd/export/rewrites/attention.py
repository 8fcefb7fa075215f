"""The cores of attention: one fused node, or products that delegates take."""

from __future__ import annotations

import math

import torch
from torch import nn

from ...models.attention import SelfAttention, spatial_attention, temporal_attention
from ...models.unet import UNet
from ...models.vae_blocks import PictureAttention
from ..vulkan_limits import BUFFER_ELEMENTS, even_part
from .linear import linear_of


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


def _chunked_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k) v with q [B, S, d], k [B, d, T], v [B, T, e]; no scores over the limit.

    Softmax is over keys, so heads, frames and, where one head's scores alone are too many, rows
    of queries can be computed apart.
    """
    batch, rows, keys = q.shape[0], q.shape[1], k.shape[2]

    def attend(b: slice, r: slice) -> torch.Tensor:
        scores = torch.bmm(q[b, r], k[b])
        return torch.bmm(torch.softmax(scores, dim=-1), v[b])

    whole = slice(None)
    if rows * keys <= BUFFER_ELEMENTS:
        parts = _parts(batch, BUFFER_ELEMENTS // (rows * keys))
        if len(parts) == 1:
            return torch.bmm(torch.softmax(torch.bmm(q, k), dim=-1), v)
        return torch.cat([attend(b, whole) for b in parts])
    by_rows = _parts(rows, max(1, BUFFER_ELEMENTS // keys))
    one_by_one = [slice(i, i + 1) for i in range(batch)]
    return torch.cat([torch.cat([attend(b, r) for r in by_rows], 1) for b in one_by_one])


def _parts(total: int, most: int) -> list[slice]:
    """As few even slices as there can be."""
    size = even_part(total, most)
    return [slice(i, min(i + size, total)) for i in range(0, total, size)]


def _scaled(q: torch.Tensor, scale: float) -> torch.Tensor:
    return q if scale == 1 else q * scale


def chunked_spatial_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_heads: int, scale: float
) -> torch.Tensor:
    n, positions, _ = q.shape
    q = _scaled(q, scale)
    if num_heads == 1:
        return _chunked_attention(q, k.transpose(1, 2), v)

    def split(x: torch.Tensor) -> torch.Tensor:  # [N, S, C] -> [N, S, heads, d]
        return x.view(n, x.shape[1], num_heads, x.shape[2] // num_heads)

    # [N * heads, S, d] and, of keys, [N * heads, d, S]
    q, v = (split(x).transpose(1, 2).flatten(0, 1) for x in (q, v))
    out = _chunked_attention(q, split(k).permute(0, 2, 3, 1).flatten(0, 1), v)
    out = out.view(n, num_heads, positions, -1).transpose(1, 2)
    return out.reshape(n, positions, -1)


def chunk_spatial_attention(network: nn.Module) -> None:
    """Written out, and in as many parts as keep every score tensor within 128 MiB of float32.

    Needed by Vulkan: a device's buffers need be no larger; at 14 frames of 2048 positions and 5
    heads the scores are 1.17 GB at once, 84 MB a frame.
    """
    for module in network.modules():
        if not isinstance(module, SelfAttention | PictureAttention):
            continue
        if module.core is spatial_attention:
            module.core = chunked_spatial_attention


def written_out_temporal_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_heads: int, scale: float
) -> torch.Tensor:
    """Of clips [B, F, S, C], or of one clip's [F, S, C]."""
    *clips, frames, positions, _ = q.shape
    if math.prod(clips) != 1:
        one_by_one = zip(q, k, v, strict=True)
        return torch.stack(
            [written_out_temporal_attention(*clip, num_heads, scale) for clip in one_by_one]
        )
    columns = positions * num_heads

    def split(x: torch.Tensor) -> torch.Tensor:  # [F, S, C] -> [F, S * heads, d]
        return x.reshape(frames, columns, x.shape[-1] // num_heads)

    q, v = split(_scaled(q, scale)).transpose(0, 1), split(v).transpose(0, 1)
    out = _chunked_attention(q, split(k).permute(1, 2, 0), v)
    return out.transpose(0, 1).reshape(*clips, frames, positions, -1)


def write_out_temporal_attention(network: nn.Module) -> None:
    """bmm, softmax, bmm for every position and head, three dimensions throughout.

    Needed by Vulkan, which has no kernel of ours: SDPA would leave its guard (``logical_not``,
    which aborts at load) and matmuls that no delegate takes.
    """
    for module in network.modules():
        if isinstance(module, SelfAttention) and module.core is temporal_attention:
            module.core = written_out_temporal_attention


@torch.no_grad()
def fold_scales(network: nn.Module) -> None:
    """The scale of the scores goes into the weights of q: a pass over q less (Vulkan: every op is
    a dispatch, and a runtime with its tracer on times 2048 at most)."""
    for module in network.modules():
        if isinstance(module, SelfAttention | PictureAttention):
            to_q = module.to_q
            if isinstance(to_q, nn.Linear):
                bias = None if to_q.bias is None else to_q.bias * module.scale
                module.to_q = linear_of(to_q.weight * module.scale, bias)
                module.scale = 1.0
