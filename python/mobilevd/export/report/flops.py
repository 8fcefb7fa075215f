"""FLOPs of a graph's nodes, by torch's own formulas and ours: as ``mobilevd flops`` counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ...compress import flops as _formulas  # noqa: F401  (registers those of our ops)
from .graph import torch_op


def node_flops(node: Node) -> int:
    """2 x multiply-adds; 0 for norms, activations and copies."""
    op = torch_op(node)
    if op is None:
        return 0
    packet = op.overloadpacket
    args, kwargs = map_arg((node.args, node.kwargs), lambda n: n.meta.get("val"))
    kwargs = {name: value for name, value in kwargs.items() if name != "out"}
    formula = flop_registry.get(packet)
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=node.meta["val"]))
    return _by_decomposition(packet, args, kwargs) if _is_composite(packet) else 0


def _is_composite(packet: Any) -> bool:
    """linear, conv2d, matmul ...: kept whole for a delegate, counted by what they are made of."""
    name = str(packet._qualified_op_name)
    return torch._C._dispatch_has_kernel(name) and torch._C._dispatch_has_kernel_for_dispatch_key(
        name, "CompositeImplicitAutograd"
    )


def _by_decomposition(packet: Any, args: Any, kwargs: Any) -> int:
    def on_meta(t: torch.Tensor) -> torch.Tensor:
        return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")

    args, kwargs = tree_map_only(torch.Tensor, on_meta, (args, kwargs))
    with FlopCounterMode(display=False) as counter:
        packet(*args, **kwargs)
    return counter.get_total_flops()


def total_flops(nodes: Iterable[Node]) -> int:
    return sum(map(node_flops, nodes))
