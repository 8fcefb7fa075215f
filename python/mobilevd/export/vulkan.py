"""Lowering a stage to ExecuTorch for Vulkan GPUs.

The program holds every weight and runs as one delegate. fp16 stores weights and features in half;
inputs and outputs are float32 in either precision. GELU runs in its tanh form (``tanh_gelu``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .flavour import Flavour
from .light_lowering import light_lowering, own_storage
from .lint import lint_vulkan
from .report import StageReport, report_stage
from .stages import Stage
from .vulkan_limits import TEXTURE_LAYERS, TEXTURE_LIMITS


def lower_vulkan(stage: Stage, flavour: Flavour) -> tuple[bytes, StageReport]:
    """ValueError, a line per finding, if the lint finds what would not run."""
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    exported = torch.export.export(stage.module, stage.example(), strict=False)
    lint_vulkan(exported, flavour).check()
    own_storage(exported)
    with light_lowering(), _silent():
        edge = to_edge_transform_and_lower(
            exported,
            partitioner=[_partitioner(flavour)],
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        graph = edge.exported_program().graph_module
        program = edge.to_executorch()
    return program.buffer, report_stage(stage, graph, program.executorch_program)


def _partitioner(flavour: Flavour) -> Any:
    """ExecuTorch's, for a device class; Linear stays whole, or it would come as a matrix product
    with a view before and another behind, each a pass over the features."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    limit = flavour.texture_limit or TEXTURE_LIMITS[0]
    partitioner = VulkanPartitioner(
        {
            "texture_limits": (limit, limit, TEXTURE_LAYERS),
            "force_fp16": flavour.precision == "fp16",
        }
    )
    whole = partitioner.ops_to_not_decompose

    def with_linear(program: torch.export.ExportedProgram) -> Any:
        ops, check = whole(program)
        return [*ops, torch.ops.aten.linear.default], check

    partitioner.ops_to_not_decompose = with_linear
    return partitioner


@contextmanager
def _silent() -> Iterator[None]:
    """The partitioner tells the root logger of every node."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
