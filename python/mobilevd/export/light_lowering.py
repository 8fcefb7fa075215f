"""What lowering does for nobody: copies of weights at every step, Python code of every graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen


@contextmanager
def light_lowering() -> Iterator[None]:
    """For ExecuTorch's part of the way, where every pass copies its graph and compiles it anew."""
    with _light_copies(), _late_code():
        yield


@contextmanager
def _light_copies() -> Iterator[None]:
    """``copy.deepcopy`` leaves weights and the history of a node's making where they are.

    Passes put new tensors in a weight's place and never write into one: 6 GB stay 6 GB. The history
    (``from_node``, for debuggers) grows with every pass and took a fifth of the time.
    """
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.fx.traceback import NodeSource

    copied = torch.Tensor.__deepcopy__

    def copy(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
        return copied(tensor, memo) if isinstance(tensor, FakeTensor) else tensor

    def itself(source: NodeSource, memo: dict[int, Any]) -> NodeSource:
        return source

    with (
        mock.patch.object(torch.Tensor, "__deepcopy__", copy),
        mock.patch.object(torch.nn.Parameter, "__deepcopy__", copy),
        mock.patch.object(NodeSource, "__deepcopy__", itself, create=True),
    ):
        yield


@contextmanager
def _late_code() -> Iterator[None]:
    """A graph becomes a Python function when it is called, not at each change of its nodes: passes
    read nodes. It was a fifth of the time of lowering a UNet, once per delegate for the whole
    graph."""
    compiled = GraphModule.recompile

    def put_off(graph: GraphModule) -> None:
        codegen = graph.graph._codegen
        if isinstance(codegen, _PyTreeCodeGen):
            graph._in_spec = codegen.pytree_info.in_spec
            graph._out_spec = codegen.pytree_info.out_spec
        if not hasattr(graph, "_code"):  # printed in logs
            graph._code = ""
        type(graph).forward = forward  # each GraphModule has a class of its own

    def forward(graph: GraphModule, *args: Any, **kwargs: Any) -> Any:
        compiled(graph)
        return graph.forward(*args, **kwargs)

    with mock.patch.object(GraphModule, "recompile", put_off):
        yield


def own_storage(program: torch.export.ExportedProgram) -> None:
    """A weight that is a view of another gets memory of its own: ExecuTorch's serialisers write the
    whole storage from its beginning, so that a second half would be read as the first.

    Copies of the usual kind would have done it by the way.
    """
    weights = program.state_dict
    for name, weight in weights.items():
        if weight.untyped_storage().nbytes() != weight.nbytes:
            weights[name] = torch.nn.Parameter(weight.detach().clone(), requires_grad=False)
