"""Exported programs, run by ExecuTorch's own Python runtime with our op library loaded into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def run_program(program: Path | bytes, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """With the weights that lie beside a program's file."""
    from executorch.runtime import Runtime
    from mobilevd.runtime import ops_library

    torch.ops.load_library(str(ops_library()))
    beside = program.with_suffix(".ptd") if isinstance(program, Path) else None
    weights = beside if beside and beside.exists() else None
    method = Runtime.get().load_program(program, data_path=weights).load_method("forward")
    # The outputs lie in the program's memory, which goes with it.
    return [output.clone() for output in method.execute(list(inputs))]


def lowered(module: torch.nn.Module, inputs: tuple[Any, ...]) -> Any:
    """Exported without a delegate: our ops stay ops."""
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    return to_edge_transform_and_lower(
        torch.export.export(module, inputs),
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    ).to_executorch()


def run_as_program(module: torch.nn.Module, inputs: tuple[Any, ...]) -> torch.Tensor:
    """What a phone would run."""
    return run_program(lowered(module, inputs).buffer, inputs)[0]


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())
