"""The processes that share a run, however they were started."""

from __future__ import annotations

import torch
from accelerate import PartialState


def processes() -> PartialState:
    """One, or those of ``accelerate launch`` or ``torchrun``; on CPUs where there is no GPU."""
    return PartialState(cpu=not torch.cuda.is_available())
