"""Lowering a stage to ExecuTorch for the CPU: XNNPACK, our kernels, ExecuTorch's own ops."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import torch

from .report import StageReport, report_stage
from .stages import Stage


@dataclass
class Lowered:
    """A serialised program and what is known of it."""

    program: bytes
    report: StageReport


def lower_xnnpack(stage: Stage) -> Lowered:
    """fp32. The fused temporal attention stays one node beside the delegates."""
    # Importing ExecuTorch's exporter warns of optional GPU kernels that no CPU build has.
    for name in ("executorch", "torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = torch.export.export(stage.module, stage.example(), strict=False)
        edge = to_edge_transform_and_lower(
            exported,
            partitioner=[XnnpackPartitioner()],
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        graph = edge.exported_program().graph_module
        program = edge.to_executorch()
    return Lowered(program.buffer, report_stage(stage, graph, program.executorch_program))
