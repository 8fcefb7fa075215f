"""MobileVD's UNet in eager PyTorch.

To its favour, as to that of all that run by torch, freed memory is kept (by default glibc returns
blocks above 32 MB and gets them anew, page by page).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...kernels.bench.measure import keep_freed_memory
from .task import Running, Task


def load(task: Task) -> Running:
    return running(task.stage(), task)


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
