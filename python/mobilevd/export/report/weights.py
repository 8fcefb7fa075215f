"""The constants that are really in a program, by the type they are stored as."""

from __future__ import annotations

from collections import Counter

import torch
from torch.fx import GraphModule, Node

from .graph import delegates, nbytes


def weights_by_dtype(graph: GraphModule, inputs: int) -> dict[str, int]:
    """Bytes by dtype, each constant once, in delegates and beside them.

    ``inputs``: how many of the last placeholders are the stage's inputs. Padding, and what a
    backend's compiler makes of weights beyond their type, is not in it (``Delegate.blob_bytes``).
    """
    found: dict[tuple[str, str], tuple[torch.dtype, int]] = {}
    placeholders = [n for n in graph.graph.nodes if n.op == "placeholder"]
    for node in placeholders[: len(placeholders) - inputs]:
        if node.users:
            found["", str(node.target)] = node.meta["val"].dtype, nbytes(node.meta["val"])
    for delegate in delegates(graph):
        signature = delegate.program.graph_signature
        names = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        for node in delegate.program.graph_module.graph.nodes:
            if node.op == "placeholder" and node.name in names and node.users:
                found["delegate", names[node.name]] = _stored(node, delegate.stored_float)
    totals: Counter[str] = Counter()
    for dtype, size in found.values():
        totals[str(dtype).removeprefix("torch.")] += size
    return dict(sorted(totals.items()))


def _stored(node: Node, stored_float: torch.dtype) -> tuple[torch.dtype, int]:
    value = node.meta["val"]
    if value.dtype != torch.float32:
        return value.dtype, nbytes(value)
    return stored_float, value.numel() * stored_float.itemsize
