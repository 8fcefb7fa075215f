"""The figures of one lowered stage, as ``bundle.json`` keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.fx import Node

from ..stages import Stage
from .borders import crossings
from .flops import node_flops, total_flops
from .graph import cpu_nodes, delegates, module_path, op_name
from .refusals import KEY
from .weights import weights_by_dtype
from .workspace import workspace_bytes

CROSSINGS_LISTED = 10


@dataclass
class StageReport:
    """``arena_bytes`` are ExecuTorch's planned tensors, ``workspace_bytes`` XNNPACK's beside them.
    ``cpu_ops``: one entry per op, module path and reason, with its count and FLOPs.

    FLOPs are 2 x multiply-add, norms and activations 0. ``border_bytes``: what one run passes
    between delegates and the CPU; ``border_tensors`` how many, ``crossings`` the largest of them.
    """

    partitions: int
    delegated_ops: int
    cpu_ops: list[dict[str, Any]]
    required_ops: list[str]
    weight_bytes: int
    arena_bytes: int
    workspace_bytes: int = 0
    delegated_flops: int = 0
    weights_by_dtype: dict[str, int] = field(default_factory=dict)
    border_bytes: int = 0
    border_tensors: int = 0
    crossings: list[dict[str, Any]] = field(default_factory=list)
    delegates: list[dict[str, int]] = field(default_factory=list)

    @property
    def cpu_flops(self) -> int:
        return sum(op["flops"] for op in self.cpu_ops)

    @property
    def delegated_share_ops(self) -> float:
        left = sum(op["count"] for op in self.cpu_ops)
        return self.delegated_ops / max(1, self.delegated_ops + left)

    @property
    def delegated_share_flops(self) -> float:
        """0 where there are no FLOPs at all."""
        return self.delegated_flops / max(1, self.delegated_flops + self.cpu_flops)

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "cpu_flops": self.cpu_flops,
            "delegated_share_ops": round(self.delegated_share_ops, 6),
            "delegated_share_flops": round(self.delegated_share_flops, 6),
        }


def _reason(node: Node) -> str:
    if str(getattr(node.target, "namespace", "")) == "mobilevd":
        return "our fused kernel"
    return node.meta.get(KEY) or "not taken by the partitioner, or put there after it"


def _cpu_ops(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], list[int]] = {}
    for node in nodes:
        entry = found.setdefault((op_name(node), module_path(node), _reason(node)), [0, 0])
        entry[0] += 1
        entry[1] += node_flops(node)
    return [
        {"op": op, "module": path, "reason": reason, "count": count, "flops": flops}
        for (op, path, reason), (count, flops) in sorted(found.items())
    ]


def report_stage(stage: Stage, graph: torch.fx.GraphModule, program: Any) -> StageReport:
    """``graph``: the edge graph after partitioning; ``program``: ExecuTorch's flatbuffer object.

    Reasons are those that partitioners left in the nodes under ``explaining``.
    """
    plan = program.execution_plan[0]
    parts = delegates(graph)
    flops = [total_flops(part.nodes()) for part in parts]
    crossing = crossings(graph, len(stage.inputs))
    weights = weights_by_dtype(graph, len(stage.inputs))
    ops = [sum(1 for _ in part.nodes()) for part in parts]
    return StageReport(
        partitions=len(parts),
        delegated_ops=sum(ops),
        cpu_ops=_cpu_ops(list(cpu_nodes(graph))),
        required_ops=sorted(
            f"{op.name}.{op.overload}" if op.overload else op.name for op in plan.operators
        ),
        weight_bytes=sum(weights.values()),
        arena_bytes=sum(plan.non_const_buffer_sizes),
        workspace_bytes=workspace_bytes(graph),
        delegated_flops=sum(flops),
        weights_by_dtype=weights,
        border_bytes=sum(c["bytes"] for c in crossing),
        border_tensors=len(crossing),
        crossings=crossing[:CROSSINGS_LISTED],
        delegates=[
            {"ops": n, "flops": f, "bytes": part.blob_bytes}
            for n, f, part in zip(ops, flops, parts, strict=True)
        ],
    )
