"""MobileVD's UNet by ``torch.compile``: Inductor with its defaults.

The conversion fills Inductor's cache; the measured process compiles from it in its first call.
Of temporal attention in five dimensions Inductor (torch 2.13, CPU) makes another function.
"""

from __future__ import annotations

import os

import torch

from .task import Running, Task
from .torch_eager import fold_positions, running


def convert(task: Task) -> None:
    load(task).evaluate()


def load(task: Task) -> Running:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(task.own / "inductor")
    module = task.stage()
    fold_positions(module)
    return running(torch.compile(module), task)
