"""Lowering a stage to ExecuTorch for the CPU: XNNPACK, our kernels, ExecuTorch's own ops."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .flavour import Flavour
from .half import HalfStage, stored_in_half
from .light_lowering import light_lowering, own_storage
from .outside_weights import outside, put_outside, spooled_constants
from .quantize import quantized
from .report import StageReport, report_stage
from .stages import Stage


def lower_xnnpack(
    stage: Stage, flavour: Flavour, spool: Path | None = None
) -> tuple[bytes, dict[str, Any], StageReport]:
    """Our ops stay one node each beside the delegates.

    With ``spool``, a folder for files on the way, the weights are outside the program: the second
    of the three.
    """
    if flavour.precision == "fp16":
        stage = replace(stage, module=HalfStage(stage.module))
    elif flavour.precision == "int8":
        stage = replace(stage, module=quantized(stage, flavour))
    graph, program = partitioned(stage, spool)
    report = report_stage(stage, graph, program.executorch_program)
    return program.buffer, outside(program), report


def partitioned(stage: Stage, spool: Path | None = None) -> tuple[torch.fx.GraphModule, Any]:
    """What XnnpackPartitioner made of the stage's graph, and its ``ExecutorchProgramManager``."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    exported = torch.export.export(stage.module, stage.example(), strict=False)
    own_storage(exported)
    with light_lowering(), stored_in_half(), spooled_constants(spool) if spool else nullcontext():
        edge = to_edge_transform_and_lower(
            exported,
            partitioner=[XnnpackPartitioner()],
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        graph = edge.exported_program().graph_module
        program = edge.to_executorch(put_outside(edge, stage.name) if spool else None)
    return graph, program
