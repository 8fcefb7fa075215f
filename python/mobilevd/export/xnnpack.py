"""Lowering a stage to ExecuTorch for the CPU: XNNPACK, our kernels, ExecuTorch's own ops."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from .flavour import Flavour
from .half import HalfStage, stored_in_half
from .light_copies import light_copies, own_storage
from .outside_weights import outside, put_outside, spooled_constants
from .quantize import quantized
from .report import StageReport, report_stage
from .stages import Stage


def lower_xnnpack(
    stage: Stage, flavour: Flavour, spool: Path | None = None
) -> tuple[bytes, dict[str, Any], StageReport]:
    """The fused temporal attention stays one node beside the delegates.

    With ``spool``, a folder for files on the way, the weights are outside the program: the second
    of the three.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    module = stage.module
    if flavour.precision == "fp16":
        module = HalfStage(module)
    elif flavour.precision == "int8":
        module = quantized(stage, flavour)
    exported = torch.export.export(module, stage.example(), strict=False)
    own_storage(exported)
    half = stored_in_half() if flavour.precision == "fp16" else nullcontext()
    with light_copies(), half, spooled_constants(spool) if spool else nullcontext():
        edge = to_edge_transform_and_lower(
            exported,
            partitioner=[XnnpackPartitioner()],
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        graph = edge.exported_program().graph_module
        program = edge.to_executorch(put_outside(edge, stage.name) if spool else None)
    report = report_stage(stage, graph, program.executorch_program)
    return program.buffer, outside(program), report
