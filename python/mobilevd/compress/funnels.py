"""Channel funnels (MobileVD 3.4): narrow the channels between two affine layers.

``add_funnels`` puts adaptors beside full weights that both train; ``merge_funnels`` multiplies them
into the weights for inference, exactly. Merging before training costs quality (Table 5).

In attention a funnel sits in each head, between q and k (whose product the scores are) and between
v and the output projection: nothing non-linear is between, so coupled singular initialisation is
optimal, and exact at a fun-factor of 1. The softmax scale stays that of the original heads. Between
the convolutions of a ResBlock lie GroupNorm and SiLU: there it is an approximation that needs
training, and the group norm starts from its mean weight and bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch

from ..models.attention import SelfAttention
from ..models.plan import with_funnels
from ..models.projections import FunnelledLinear, LowRankLinear
from ..models.resblock import SpatialResBlock, TemporalResBlock
from ..models.unet import UNet
from .coupled import INITIALISATIONS
from .rebuild import rebuild


@torch.no_grad()
def add_funnels(
    unet: UNet,
    fun_factor: float | Mapping[str, float] = 0.5,
    layers: Sequence[str] = ("spatial",),
    init: str = "coupled",
) -> UNet:
    """The UNet with unmerged funnels; shares the full weights, which keep training.

    Arguments as :func:`with_funnels`; ``init`` is "coupled", "truncated" or "he" (which draws from
    torch's default generator). ValueError names a fun-factor outside (0, 1], an unknown layer or
    initialisation, and a layer that has a funnel already.
    """
    config = unet.config
    if init not in INITIALISATIONS:
        raise ValueError(f"unknown initialisation '{init}'; known: {', '.join(INITIALISATIONS)}")
    if (config.attention_widths or config.resblock_widths) and not config.unmerged_funnels:
        raise ValueError("this model's funnels are merged: no more can be added")
    wanted = replace(with_funnels(config, fun_factor, layers), unmerged_funnels=True)
    changed: dict[str, torch.Tensor] = {}
    for path, width, _ in wanted.attention_widths:
        if config.attention_width(path) is None:
            attention = cast(SelfAttention, unet.get_submodule(path))
            changed |= _attention_funnels(attention, path, width, init)
    for path, width in wanted.resblock_widths:
        if config.resblock_width(path) is None:
            block = cast(SpatialResBlock | TemporalResBlock, unet.get_submodule(path))
            changed |= _convolution_funnels(block, path, width, init)
    return rebuild(unet, wanted, changed)


def _attention_funnels(
    attention: SelfAttention, path: str, width: int, init: str
) -> dict[str, torch.Tensor]:
    if isinstance(attention.to_q, LowRankLinear):
        raise ValueError(f"{path} is factorised already: no funnel fits")
    heads = attention.num_heads
    weights = {n: cast(torch.Tensor, attention.get_submodule(n).weight)
               for n in ("to_q", "to_k", "to_v", "to_out")}  # fmt: skip
    q, k, v = (weights[n].unflatten(0, (heads, -1)) for n in ("to_q", "to_k", "to_v"))
    out = weights["to_out"].unflatten(1, (heads, -1)).transpose(0, 1)  # [heads, C, head_dim]
    initial = INITIALISATIONS[init]
    f_k, f_q = initial(k, q.mT, width)  # scores = x (Wq^T Wk) y^T
    f_v, f_out = initial(v, out, width)
    funnels = {"to_q": f_q.mT, "to_k": f_k, "to_v": f_v, "to_out": f_out}
    return {f"{path}.{n}.funnel": f.to(weights[n].dtype) for n, f in funnels.items()}


def _convolution_funnels(
    block: SpatialResBlock | TemporalResBlock, path: str, width: int, init: str
) -> dict[str, torch.Tensor]:
    w1 = block.conv1.weight.flatten(1)  # [c, in * taps]
    w2 = block.conv2.weight.transpose(0, 1).flatten(1).mT  # [out * taps, c]
    f1, f2 = INITIALISATIONS[init](w1, w2, width)
    weight, bias = block.norm2.weight, block.norm2.bias
    return {
        f"{path}.funnel_in.weight": f1[..., None, None].to(w1.dtype),
        f"{path}.funnel_out.weight": f2[..., None, None].to(w1.dtype),
        f"{path}.norm2.weight": weight.mean().repeat(width),
        f"{path}.norm2.bias": bias.mean().repeat(width),
    }


@torch.no_grad()
def merge_funnels(unet: UNet) -> UNet:
    """The same function with every funnel multiplied into the weights beside it."""
    if not unet.config.unmerged_funnels:
        raise ValueError("this model has no funnels to merge")
    changed: dict[str, torch.Tensor] = {}
    for path, module in unet.named_modules():
        if isinstance(module, FunnelledLinear):
            changed[f"{path}.weight"] = module.merged_weight()
        elif isinstance(module, SpatialResBlock | TemporalResBlock) and module.funnel_in:
            changed |= {f"{path}.{k}": v for k, v in _merged_convolutions(module).items()}
    return rebuild(unet, replace(unet.config, unmerged_funnels=False), changed)


def _merged_convolutions(block: SpatialResBlock | TemporalResBlock) -> dict[str, torch.Tensor]:
    assert block.funnel_in is not None
    assert block.funnel_out is not None
    f1, f2 = block.funnel_in.weight[..., 0, 0], block.funnel_out.weight[..., 0, 0]
    conv1, time, conv2 = block.conv1, block.time_emb_proj, block.conv2
    return {
        "conv1.weight": torch.tensordot(f1, conv1.weight, dims=1),
        "conv1.bias": f1 @ cast(torch.Tensor, conv1.bias),
        "time_emb_proj.weight": f1 @ time.weight,
        "time_emb_proj.bias": f1 @ time.bias,
        "conv2.weight": torch.einsum("ochw,cr->orhw", conv2.weight, f2),
    }
