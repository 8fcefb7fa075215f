"""What became of a stage: partitions, ops left on the CPU and where they come from, memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .stages import Stage


@dataclass
class StageReport:
    """``cpu_ops``: one entry per op and module path, with its count and why it is there."""

    partitions: int
    delegated_ops: int
    cpu_ops: list[dict[str, Any]]
    required_ops: list[str]
    weight_bytes: int
    arena_bytes: int

    @property
    def delegated_share_ops(self) -> float:
        left = sum(op["count"] for op in self.cpu_ops)
        return self.delegated_ops / max(1, self.delegated_ops + left)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "delegated_share_ops": round(self.delegated_share_ops, 4)}


# Not computation: bookkeeping of the graph, and calls into the delegate.
_FREE = ("getitem", "executorch_call_delegate", "alloc", "aten.view_copy")


def _reason(op: str) -> str:
    if op.startswith("mobilevd."):
        return "our fused kernel"
    if "group_norm" in op:
        return "XNNPACK has no GroupNorm"
    if "layer_norm" in op:
        return "XNNPACK has no LayerNorm"
    return "not taken by the XNNPACK partitioner"


def _module_path(node: torch.fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return list(stack.values())[-1][0] if stack else ""


def report_stage(stage: Stage, graph: torch.fx.GraphModule, program: Any) -> StageReport:
    """``graph``: the edge graph after partitioning; ``program``: ExecuTorch's flatbuffer object."""
    left: Counter[tuple[str, str]] = Counter()
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        op = getattr(node.target, "__name__", str(node.target))
        if not any(op.startswith(f) for f in _FREE):
            left[(op, _module_path(node))] += 1
    lowered: list[Any] = [
        module
        for _, module in graph.named_children()
        if type(module).__name__ == "LoweredBackendModule"
    ]
    delegated = sum(
        node.op == "call_function" and "getitem" not in str(node.target)
        for module in lowered
        for node in module.original_module.graph_module.graph.nodes
    )
    plan = program.execution_plan[0]
    weights = [*stage.module.parameters(), *stage.module.buffers()]
    return StageReport(
        partitions=len(lowered),
        delegated_ops=delegated,
        cpu_ops=[
            {"op": op, "module": path, "count": n, "reason": _reason(op)}
            for (op, path), n in sorted(left.items())
        ],
        required_ops=sorted(
            f"{op.name}.{op.overload}" if op.overload else op.name for op in plan.operators
        ),
        weight_bytes=sum(w.numel() * w.element_size() for w in weights),
        arena_bytes=sum(plan.non_const_buffer_sizes),
    )
