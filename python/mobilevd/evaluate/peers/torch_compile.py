"""MobileVD's UNet by ``torch.compile``: Inductor with its defaults.

The conversion fills Inductor's cache; the measured process compiles from it in its first call.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ...models.attention import SelfAttention, temporal_attention
from .task import Running, Task
from .torch_eager import running


def convert(task: Task) -> None:
    load(task).evaluate()


def load(task: Task) -> Running:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(task.own / "inductor")
    module = task.stage()
    fold_positions(module)
    return running(torch.compile(module), task)


def fold_positions(module: nn.Module) -> None:
    """Temporal attention of four dimensions instead of five, in place: of five, Inductor (torch
    2.13, CPU) computes something else."""
    for part in module.modules():
        if isinstance(part, SelfAttention) and part.core is temporal_attention:
            part.core = _temporal_attention


def _temporal_attention(q: Tensor, k: Tensor, v: Tensor, num_heads: int, scale: float) -> Tensor:
    """``models.attention.temporal_attention``, positions being a batch [B*S, heads, F, d]."""
    batch = q.shape[0]
    q, k, v = (
        x.unflatten(-1, (num_heads, -1)).permute(0, 2, 3, 1, 4).flatten(0, 1) for x in (q, k, v)
    )
    out = scaled_dot_product_attention(q, k, v, scale=scale).unflatten(0, (batch, -1))
    return out.permute(0, 3, 1, 2, 4).flatten(-2)
