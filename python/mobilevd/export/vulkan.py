"""Lowering a stage to ExecuTorch for Vulkan GPUs."""

from __future__ import annotations

import torch

from .flavour import Flavour
from .report import StageReport, report_stage
from .stages import Stage
from .vulkan_limits import TEXTURE_LAYERS, TEXTURE_LIMITS


def lower_vulkan(stage: Stage, flavour: Flavour) -> tuple[bytes, StageReport]:
    """fp32, or fp16: weights and features in half, inputs and outputs in float32."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    limit = flavour.texture_limit or TEXTURE_LIMITS[0]
    options = {
        "texture_limits": (limit, limit, TEXTURE_LAYERS),
        "force_fp16": flavour.precision == "fp16",
    }
    exported = torch.export.export(stage.module, stage.example(), strict=False)
    edge = to_edge_transform_and_lower(
        exported,
        partitioner=[VulkanPartitioner(options)],
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    graph = edge.exported_program().graph_module
    program = edge.to_executorch()
    return program.buffer, report_stage(stage, graph, program.executorch_program)
