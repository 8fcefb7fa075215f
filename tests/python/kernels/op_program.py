"""One operator as an ExecuTorch program, run by executorch.runtime."""

from __future__ import annotations

from typing import Any

import torch


def run_as_program(module: torch.nn.Module, inputs: tuple[Any, ...]) -> torch.Tensor:
    """Exports `module`, lowers it (our ops stay ops) and runs it: what a phone would run."""
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from executorch.runtime import Runtime
    from mobilevd.runtime import ops_library

    ops_library()
    program = to_edge_transform_and_lower(
        torch.export.export(module, inputs),
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    ).to_executorch()
    method = Runtime.get().load_program(program.buffer).load_method("forward")
    return method.execute(inputs)[0].clone()
