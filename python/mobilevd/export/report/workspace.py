"""The memory in which XNNPACK keeps a delegate's inner tensors; delegates take turns in it."""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import GraphModule, Node

from .graph import Delegate, delegates, nbytes, op_name

# Ops whose result XNNPACK puts in an input's place when nobody else needs that input.
_IN_PLACE = (
    "aten.add", "aten.sub", "aten.mul", "aten.div", "aten.sigmoid", "aten.gelu", "aten.relu",
    "aten.hardtanh", "aten.tanh", "aten._softmax", "aten.view_copy", "aten.unsqueeze_copy",
    "aten.squeeze_copy",
)  # fmt: skip


@dataclass
class _Span:
    """Bytes that live from one step of a delegate to another, both included."""

    first: int
    last: int
    size: int


def workspace_bytes(graph: GraphModule) -> int:
    """Of the delegate that needs most, 0 for other backends'; ``graph`` is the edge graph after
    partitioning.

    XNNPACK's own plan (largest first, into the lowest gap that fits) on the graph that it is given;
    what it then adds, conversions of layout and a kernel's scratch, is not in it.
    """
    ours = (delegate for delegate in delegates(graph) if delegate.backend == "XnnpackBackend")
    return max((_planned(_spans(delegate)) for delegate in ours), default=0)


def _spans(delegate: Delegate) -> list[_Span]:
    (results,) = delegate.program.graph_module.graph.output_node().args
    outside = {node for node in results if isinstance(node, Node)}
    nodes = list(delegate.nodes())
    step = {node: i for i, node in enumerate(nodes)}
    spans: dict[Node, _Span] = {}
    for node in nodes:
        if node in outside:
            continue
        last = max((step[user] for user in node.users if user in step), default=step[node])
        size = nbytes(node.meta["val"])
        taken = next(
            (
                spans[given]
                for given in node.all_input_nodes
                if given in spans and spans[given].last == step[node] and spans[given].size == size
            ),
            None,
        )
        if taken is not None and op_name(node).startswith(_IN_PLACE):
            taken.last = last
            spans[node] = taken
        else:
            spans[node] = _Span(step[node], last, size)
    return list({id(span): span for span in spans.values()}.values())


def _planned(spans: list[_Span]) -> int:
    """Size of the arena."""
    placed: list[tuple[int, _Span]] = []
    end = 0
    for span in sorted(spans, key=lambda span: -span.size):
        beside = sorted(
            (offset, offset + other.size)
            for offset, other in placed
            if other.first <= span.last and span.first <= other.last
        )
        at = 0
        for low, high in beside:
            if low - at >= span.size:
                break
            at = max(at, high)
        placed.append((at, span))
        end = max(end, at + span.size)
    return end
