"""A partitioned graph read as what it is: delegates, ops left on the CPU, and views.

Works on the edge graph and on what ``to_executorch`` makes of it in place (out variants, allocs).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

# No computation and no copy: bookkeeping, and other names for the same memory.
_BOOKKEEPING = ("getitem", "executorch_call_delegate", "alloc", "aten.view_copy")
_VIEW = "aten.view_copy"


def op_name(node: Node) -> str:
    return getattr(node.target, "__name__", str(node.target))


def torch_op(node: Node) -> torch._ops.OpOverload | None:
    """torch's own operator, which an edge op wraps; None for what is no operator."""
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):
        target = getattr(target, "_op", None)
    return target if isinstance(target, torch._ops.OpOverload) else None


def is_delegate_call(node: Node) -> bool:
    return node.op == "call_function" and op_name(node) == "executorch_call_delegate"


def cpu_nodes(graph: GraphModule) -> Iterator[Node]:
    """The ops that ExecuTorch's own kernels or ours run."""
    for node in graph.graph.nodes:
        if node.op == "call_function" and not op_name(node).startswith(_BOOKKEEPING):
            yield node


def module_path(node: Node) -> str:
    """Of the innermost module that the op came from; empty where export kept none."""
    stack = node.meta.get("nn_module_stack") or {}
    return list(stack.values())[-1][0] if stack else ""


def origin(node: Node) -> Node:
    """The node whose memory this one shows: what is behind a view."""
    while node.op == "call_function" and op_name(node).startswith(_VIEW):
        node = node.all_input_nodes[0]
    return node


def tensors(value: Any) -> list[torch.Tensor]:
    """The tensors in a node's ``meta["val"]``."""
    return [t for t in torch.utils._pytree.tree_leaves(value) if isinstance(t, torch.Tensor)]


def nbytes(value: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors(value))


@dataclass(frozen=True)
class Delegate:
    """One partition: the call, and the program that the backend compiled."""

    call: Node
    program: torch.export.ExportedProgram  # what was handed over
    blob_bytes: int  # what came back: the delegate's data and the weights that go with it
    stored_float: torch.dtype  # what the backend made of float32 weights
    backend: str  # as ExecuTorch calls it

    def nodes(self) -> Iterator[Node]:
        for node in self.program.graph_module.graph.nodes:
            if node.op == "call_function" and "getitem" not in str(node.target):
                yield node


def delegates(graph: GraphModule) -> list[Delegate]:
    """In the order of execution."""
    found = []
    for node in graph.graph.nodes:
        if is_delegate_call(node):
            lowered: Any = getattr(graph, node.args[0].target)
            blob = len(lowered.processed_bytes)
            if lowered.named_data_store_output is not None:
                blob += sum(len(b) for b in lowered.named_data_store_output.buffers)
            stored = _stored_float(lowered)
            found.append(Delegate(node, lowered.original_module, blob, stored, lowered.backend_id))
    return found


def _stored_float(lowered: Any) -> torch.dtype:
    """Vulkan is told to halve them; HTP has no float32 at all."""
    halved = any(s.key == "force_fp16" and any(s.value) for s in lowered.compile_specs)
    return torch.float16 if halved or lowered.backend_id == "QnnBackend" else torch.float32
