"""MobileVD's UNet in eager PyTorch.

To its favour, as to that of all that run by torch: freed memory is kept (by default glibc returns
blocks above 32 MB and gets them anew, page by page), and temporal attention has four dimensions, of
which torch has a fused form; of five it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ...kernels.bench.measure import keep_freed_memory
from ...models.attention import SelfAttention, temporal_attention
from .task import Running, Task


def load(task: Task) -> Running:
    module = task.stage()
    fold_positions(module)
    return running(module, task)


def running(module: Callable[..., torch.Tensor], task: Task) -> Running:
    """``module`` called with the inputs; on a GPU the call ends when the GPU has."""
    keep_freed_memory()
    torch.set_num_threads(task.threads)
    inputs = task.tensors()

    def evaluate() -> Any:
        with torch.no_grad():
            result = module(*inputs)
            if task.device == "cuda":
                torch.cuda.synchronize()
            return result

    return Running(evaluate, lambda result: result.cpu().numpy())


def fold_positions(module: nn.Module) -> None:
    """Temporal attention of four dimensions instead of five, in place."""
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
