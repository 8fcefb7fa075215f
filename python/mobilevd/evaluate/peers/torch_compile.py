"""MobileVD's UNet by ``torch.compile``: Inductor with its defaults.

The conversion fills Inductor's cache; the measured process compiles from it in its first call.
"""

from __future__ import annotations

import os

import torch

from .task import Running, Task
from .torch_eager import running


def convert(task: Task) -> None:
    load(task).evaluate()


def load(task: Task) -> Running:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(task.own / "inductor")
    return running(torch.compile(task.stage()), task)
