"""The operator library all kernels register in, and the way from tensors to the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

library = torch.library.Library("mobilevd", "FRAGMENT")


def to_arrays(**tensors: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """The CPU tensors' memory as numpy arrays; TypeError, naming the tensor, for another."""
    arrays = {}
    for name, x in tensors.items():
        if x.dtype == torch.bfloat16:  # numpy has no such dtype
            raise TypeError(f"{name}: expected float32 or float16, got {x.dtype}")
        if x.device.type != "cpu":
            raise TypeError(f"{name}: expected a CPU tensor, got one on {x.device}")
        arrays[name] = x.detach().numpy()
    return arrays
