"""MobileVD's UNet in eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .task import Running, Task


def load(task: Task) -> Running:
    return running(task.stage(), task)


def running(module: Callable[..., torch.Tensor], task: Task) -> Running:
    """``module`` called with the inputs; on a GPU the call ends when the GPU has."""
    torch.set_num_threads(task.threads)
    inputs = task.tensors()

    def evaluate() -> Any:
        with torch.no_grad():
            result = module(*inputs)
            if task.device == "cuda":
                torch.cuda.synchronize()
            return result

    return Running(evaluate, lambda result: result.cpu().numpy())
