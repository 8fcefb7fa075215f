"""Exact rewrites of the UNet before lowering. Each takes a UNet and changes it in place.

``prepare(unet, backend)`` composes them on a copy. None changes the function computed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ..models.attention import FeedForward, SelfAttention, spatial_attention, temporal_attention
from ..models.embeddings import FramePosition
from ..models.layout import frames_at
from ..models.svd_vae import SvdEncoder
from ..models.transformer import AlphaBlender
from ..models.unet import UNet
from ..models.vae_blocks import PictureAttention

Rewrite = Callable[[UNet], None]


def fuse_temporal_attention(unet: UNet) -> None:
    """Temporal cores become ``mobilevd::temporal_attention``: one node, no permutes.

    Needed by every CPU flavour; SDPA would leave a dozen small ops beside the delegate.
    """
    from ..kernels import torch_ops  # noqa: F401  (registers the op)

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


class ConstantFramePosition(nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value: torch.Tensor
        self.register_buffer("value", value)

    def forward(self, frames: int) -> torch.Tensor:
        if frames != self.value.shape[0]:
            raise ValueError(f"exported for {self.value.shape[0]} frames, called with {frames}")
        return self.value


@torch.no_grad()
def fold_frame_positions(unet: UNet) -> None:
    """The frame-position MLP sees only constants: its output becomes one (a bundle's frames
    are fixed). Saves sin, cos and two Linear layers per transformer."""
    for path, module in unet.named_modules():
        for name, child in module.named_children():
            if isinstance(child, FramePosition):
                value = child(frames_at(unet.config, f"{path}.{name}")).clone()
                setattr(module, name, ConstantFramePosition(value))


class ConstantBlend(nn.Module):
    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, spatial: torch.Tensor, temporal: torch.Tensor) -> torch.Tensor:
        return spatial * self.alpha + temporal * (1.0 - self.alpha)


@torch.no_grad()
def fold_blends(network: nn.Module) -> None:
    """sigmoid(mix_factor) becomes a number: no sigmoid and subtraction of one element left."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, AlphaBlender):
                setattr(module, name, ConstantBlend(float(torch.sigmoid(child.mix_factor))))


class SplitFeedForward(nn.Module):
    def __init__(self, feed_forward: FeedForward) -> None:
        super().__init__()
        self.value, self.gate = (
            _linear(w, b)
            for w, b in zip(
                feed_forward.proj_in.weight.chunk(2),
                feed_forward.proj_in.bias.chunk(2),
                strict=True,
            )
        )
        self.proj_out = feed_forward.proj_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj_out(self.value(x) * F.gelu(self.gate(x)))


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear


@torch.no_grad()
def split_feed_forwards(unet: UNet) -> None:
    """GEGLU's one wide Linear becomes two, so that no split copy cuts the delegate in two."""
    for module in unet.modules():
        for name, child in module.named_children():
            if isinstance(child, FeedForward):
                setattr(module, name, SplitFeedForward(child))


REWRITES: dict[str, tuple[Rewrite, ...]] = {
    "xnnpack": (
        fuse_temporal_attention,
        write_out_spatial_attention,
        split_feed_forwards,
        fold_frame_positions,
        fold_blends,
    ),
}


def prepare(unet: UNet, backend: str) -> UNet:
    """A copy of ``unet``, funnels merged and cross-attention collapsed, with the rewrites."""
    from ..compress.cross_attention import collapse_cross_attention
    from ..compress.funnels import merge_funnels

    unet = copy.deepcopy(unet)
    if unet.config.unmerged_funnels:
        unet = merge_funnels(unet)
    if not unet.config.collapsed_cross_attention:
        unet = collapse_cross_attention(unet)
    for rewrite in REWRITES[backend]:
        rewrite(unet)
    return unet.eval()


@torch.no_grad()
def keep_the_mean(network: nn.Module) -> None:
    """SVD's encoder also computes a log variance that nobody reads: half a convolution less, and
    no slice behind it."""
    if isinstance(network, SvdEncoder):
        full, count = network.quant_conv, network.latent_channels
        mean = nn.Conv2d(full.in_channels, count, 1, device="meta")
        mean.weight = nn.Parameter(full.weight[:count].clone())
        mean.bias = None if full.bias is None else nn.Parameter(full.bias[:count].clone())
        network.quant_conv = mean


def prepare_vae(network: nn.Module) -> nn.Module:
    """A copy of an encoder or decoder, rewritten; TAESD's has nothing to rewrite."""
    network = copy.deepcopy(network)
    for rewrite in (write_out_spatial_attention, fold_blends, keep_the_mean):
        rewrite(network)
    return network.eval()
