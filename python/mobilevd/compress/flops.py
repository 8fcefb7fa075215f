"""What one UNet evaluation costs, from the real module on the meta device.

Multiply-add is 2 FLOPs; norms and activations count as 0, which leaves the count about 2 % below
the paper's (it used DeepSpeed's profiler, as far as we know).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from ..kernels import torch_ops  # noqa: F401  (defines mobilevd's ops)
from ..models import create_unet
from ..models.config import UNetConfig
from ..models.resblock import SpatialResBlock, TemporalResBlock
from ..models.transformer import SpatialBlock, TemporalBlock
from ..models.vae import create_vae
from ..presets import Preset
from .live_memory import PeakElements

# Table 2 of arXiv 2412.07583: one evaluation, batch 1.
PAPER_TFLOPS = {
    "svd-1024x576": 45.43,
    "mobilevd-hd": 23.63,
    "svd-512x256": 8.60,
    "mobilevd-512x256": 4.34,
}
WEIGHT_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
# What --by module lists as one; elsewhere it lists layers.
_UNITS = (SpatialResBlock, TemporalResBlock, SpatialBlock, TemporalBlock)


@register_flop_formula(torch.ops.mobilevd.temporal_attention)
def temporal_attention_flops(
    q_shape: tuple[int, ...],
    k_shape: tuple[int, ...],
    v_shape: tuple[int, ...],
    num_heads: int,
    scale: float | None = None,
    out_shape: tuple[int, ...] | None = None,
    **kwargs: Any,
) -> int:
    """Scores and their product with v: q, k [B, F, S, heads*d_qk], v [B, F, S, heads*d_v]."""
    batch, frames, positions, qk = q_shape
    return 2 * batch * positions * frames * frames * (qk + v_shape[-1])


_OPS = torch.ops.mobilevd


@register_flop_formula(
    [_OPS.conv2d_3x3, _OPS.temporal_conv, _OPS.conv2d_3x3_int8, _OPS.temporal_conv_int8]
)
def conv_flops(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    *_: Any,
    out_shape: tuple[int, ...],
    **kwargs: Any,
) -> int:
    """By the definition, whatever the method: x [..., in_channels], weight [panels, taps, ...]."""
    return 2 * prod(out_shape) * weight_shape[1] * x_shape[-1]


@register_flop_formula(_OPS.gemm_int8)
def gemm_int8_flops(x_shape: tuple[int, ...], *_: Any, out_shape: Any, **kwargs: Any) -> int:
    """x [..., in_features], out [..., out_features]."""
    return 2 * int(prod(out_shape)) * x_shape[-1]


@register_flop_formula(torch.ops.mobilevd.temporal_attention_block)
def temporal_attention_block_flops(
    x_shape: tuple[int, ...],
    norm_weight_shape: tuple[int, ...],
    norm_bias_shape: tuple[int, ...],
    to_qkv_shape: tuple[int, ...],
    to_qkv_scale_shape: tuple[int, ...] | None,
    to_out_shape: tuple[int, ...],
    to_out_scale_shape: tuple[int, ...] | None,
    out_bias_shape: tuple[int, ...],
    num_heads: int,
    *args: Any,
    **kwargs: Any,
) -> int:
    """The projections and attention; the head widths follow from the packed weights' sizes."""
    batch, frames, positions, channels = x_shape
    v = to_out_shape[1] * (8 if len(to_out_shape) == 4 else 1)
    # Panels of 16 outputs: what q and k fill is a multiple of 16 heads, the rest is padding.
    qk = (16 * to_qkv_shape[0] - v) // (16 * num_heads) * 8 * num_heads
    rows = batch * frames * positions
    return 2 * rows * channels * (2 * qk + 2 * v) + 2 * rows * frames * (qk + v)


@register_flop_formula(torch.ops.mobilevd.spatial_attention)
def spatial_attention_flops(
    q_shape: tuple[int, ...],
    k_shape: tuple[int, ...],
    v_shape: tuple[int, ...],
    *_: Any,
    **kwargs: Any,
) -> int:
    """Scores and their product with v: q [N, S, heads*d_qk], v [N, S_k, heads*d_v]."""
    return 2 * q_shape[0] * q_shape[1] * k_shape[1] * (q_shape[2] + v_shape[2])


@register_flop_formula(torch.ops.mobilevd.group_norm_silu)
def group_norm_silu_flops(*args: Any, **kwargs: Any) -> int:
    """None, as torch counts for GroupNorm and SiLU: only matrix products are counted."""
    return 0


@register_flop_formula(torch.ops.mobilevd.linear)
def linear_flops(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    out_features: int,
    bias_shape: tuple[int, ...] | None = None,
    residual_shape: tuple[int, ...] | None = None,
    activation: str | None = None,
    **kwargs: Any,
) -> int:
    """As torch counts a linear layer: the products, without padding; GEGLU's has two halves."""
    return 2 * prod(x_shape) * out_features * (2 if activation == "geglu" else 1)


@dataclass(frozen=True)
class Cost:
    """One evaluation at batch 1."""

    flops: int
    params: int
    peak_elements: int
    by_module: dict[str, tuple[int, int]]  # path -> (flops, params), which sum to the whole


@lru_cache(maxsize=64)
def cost(config: UNetConfig, latent_size: tuple[int, int]) -> Cost:
    """Runs the UNet on the meta device; ``latent_size`` is (height, width) of the latents.

    Self-attention runs with its scores written out, as the delegates have it: they are the peak.
    """
    h, w = latent_size
    with torch.device("meta"), torch.no_grad():
        unet = create_unet(config)
        inputs = (
            torch.empty(1, config.num_frames, config.in_channels, h, w),
            torch.empty(1),
            torch.empty(1, 1, config.cross_attention_dim),
            torch.empty(1, config.num_added_time_ids),
        )
        weights = [*unet.parameters(), *unet.buffers()]
        with PeakElements(weights) as memory, FlopCounterMode(display=False) as counter:
            unet(*inputs)
    counts = {
        path.removeprefix("UNet."): sum(ops.values())
        for path, ops in counter.get_flop_counts().items()
    }
    by_module = {
        path: (counts.get(path, 0), sum(p.numel() for p in module.parameters()))
        for path, module in _units(unet)
    }
    params = sum(p.numel() for p in unet.parameters())
    return Cost(counter.get_total_flops(), params, memory.peak, by_module)


def decoder_flops(preset: Preset) -> int:
    """Of the VAE decoder, for a clip of the preset."""
    frames, vae = preset.unet.num_frames, preset.vae
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        create_vae(vae).decoder(torch.empty(frames, vae.latent_channels, *preset.latent_size))
    return int(counter.get_total_flops())


def _units(module: nn.Module, path: str = "") -> list[tuple[str, nn.Module]]:
    """A partition of the UNet: blocks of transformers and ResBlocks, layers elsewhere."""
    children = list(module.named_children())
    if isinstance(module, _UNITS) or not children:
        return [(path, module)]
    found = []
    for name, child in children:
        found += _units(child, f"{path}.{name}" if path else name)
    return found


def row(name: str, config: UNetConfig, latent_size: tuple[int, int], **more: Any) -> dict[str, Any]:
    """A row of the tables and of ``--json``: figures under plain names with their units."""
    figures = cost(config, latent_size)
    entry: dict[str, Any] = {
        "name": name,
        "tflops": figures.flops / 1e12,
        **more,
        "params": figures.params,
    }
    for precision, size in WEIGHT_BYTES.items():
        entry[f"weights_mb_{precision}"] = figures.params * size / 1e6
    for precision in ("fp32", "fp16"):
        size = WEIGHT_BYTES[precision]
        entry[f"peak_activation_mb_{precision}"] = figures.peak_elements * size / 1e6
    return entry


def count(preset: Preset) -> dict[str, Any]:
    """The row of a preset's UNet."""
    return row(
        preset.name,
        preset.unet,
        preset.latent_size,
        table="presets",
        paper_tflops=PAPER_TFLOPS.get(preset.name),
        # The paper lists neither the blocks that survive nor the layers with funnels.
        fitted=bool(preset.unet.temporal_blocks or preset.unet.attention_widths),
    )


def count_by_module(preset: Preset) -> list[dict[str, Any]]:
    """One row per block or layer, in the order of the module tree; they sum to ``count``."""
    figures = cost(preset.unet, preset.latent_size)
    return [
        {
            "name": path,
            "tflops": flops / 1e12,
            "share": flops / figures.flops,
            "params": params,
        }
        for path, (flops, params) in figures.by_module.items()
        if flops or params
    ]
