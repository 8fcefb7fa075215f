"""Exported programs, run by ExecuTorch's own Python runtime with our op library loaded into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch


def run_program(program: Path, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    from executorch.runtime import Runtime
    from mobilevd.runtime import ops_library

    torch.ops.load_library(str(ops_library()))
    method = Runtime.get().load_program(program).load_method("forward")
    return list(method.execute(list(inputs)))


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())
