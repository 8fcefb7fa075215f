"""Memory for time: blocks forget their insides and compute them again on the way back."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..models.resblock import SpatioTemporalResBlock
from ..models.transformer import SpatioTemporalTransformer


def checkpoint_blocks(network: nn.Module) -> int:
    """Every ResBlock and transformer in ``network``, in place; their number.

    Values and gradients stay the same; a step takes about a third longer.
    """
    blocks = [
        m
        for m in network.modules()
        if isinstance(m, SpatioTemporalResBlock | SpatioTemporalTransformer)
    ]
    for block in blocks:
        block.forward = _checkpointed(block.forward)  # type: ignore[method-assign]
    return len(blocks)


def _checkpointed(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @wraps(forward)
    def run(*inputs: object) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False)

    return run
