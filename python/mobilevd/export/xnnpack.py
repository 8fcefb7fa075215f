"""Lowering a stage to ExecuTorch for the CPU: XNNPACK, our kernels, ExecuTorch's own ops."""

from __future__ import annotations

import torch

from .report import StageReport, report_stage
from .stages import Stage


def lower_xnnpack(stage: Stage) -> tuple[bytes, StageReport]:
    """fp32. The fused temporal attention stays one node beside the delegates."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    exported = torch.export.export(stage.module, stage.example(), strict=False)
    edge = to_edge_transform_and_lower(
        exported,
        partitioner=[XnnpackPartitioner()],
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    graph = edge.exported_program().graph_module
    program = edge.to_executorch()
    return program.buffer, report_stage(stage, graph, program.executorch_program)
