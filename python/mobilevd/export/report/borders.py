"""What is passed between delegates and the CPU: each tensor once per border that it crosses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.fx import GraphModule, Node

from .graph import Delegate, cpu_nodes, delegates, module_path, nbytes, op_name, origin

# Sides that are not of the graph's own making: crossing them is no cost of partitioning.
_OUTSIDE = ("input", "output")


def crossings(graph: GraphModule, inputs: int) -> list[dict[str, Any]]:
    """Largest first: ``op`` and ``module`` that made the tensor, ``from``, ``to``, ``shape``,
    ``dtype``, ``bytes``. Sides are "cpu", "constant", "delegate 0", ...

    ``inputs``: how many of the last placeholders are the stage's inputs; those before are weights.
    A tensor that two delegates read crosses two borders, one that two CPU ops read crosses one.
    What the stage is given and gives back is not counted: every program passes it.
    """
    found = delegates(graph)
    parts = {d.call: f"delegate {i}" for i, d in enumerate(found)}
    placeholders = [n for n in graph.graph.nodes if n.op == "placeholder"]
    given = set(placeholders[len(placeholders) - inputs :])

    def side(node: Node) -> str:
        if node.op == "placeholder":
            return "input" if node in given else "constant"
        source = node.args[0] if op_name(node) == "getitem" else node
        return parts.get(source, "cpu") if isinstance(source, Node) else "cpu"

    seen: dict[tuple[Node, str], dict[str, Any]] = {}
    for node, reader in _reads(graph, parts):
        tensor = origin(node)
        source = side(tensor)
        if source == reader or source in _OUTSIDE or {source, reader} == {"constant", "cpu"}:
            continue
        value = tensor.meta["val"]
        seen[tensor, reader] = {
            "op": _maker(tensor, found),
            "module": module_path(tensor),
            "from": source,
            "to": reader,
            "shape": list(value.shape),
            "dtype": str(value.dtype).removeprefix("torch."),
            "bytes": nbytes(value),
        }
    return sorted(seen.values(), key=lambda c: -c["bytes"])


def _reads(graph: GraphModule, parts: dict[Node, str]) -> Iterator[tuple[Node, str]]:
    """(tensor read, side that reads it)."""
    for call, name in parts.items():
        for argument in call.args[1:]:
            if isinstance(argument, Node):
                yield argument, name
    for node in cpu_nodes(graph):
        for argument in node.all_input_nodes:
            if op_name(argument) != "alloc":
                yield argument, "cpu"


def _maker(tensor: Node, parts: Sequence[Delegate]) -> str:
    """The op that made the tensor; for a delegate's result, the op inside."""
    if tensor.op != "call_function":
        return "constant"
    if op_name(tensor) != "getitem":
        return op_name(tensor)
    call, index = tensor.args
    for delegate in parts:
        if delegate.call is call:
            (results,) = delegate.program.graph_module.graph.output_node().args
            return op_name(results[index])
    return op_name(call)  # type: ignore[arg-type]
