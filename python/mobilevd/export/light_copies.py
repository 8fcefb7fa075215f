"""Lowering copies whole programs at every step; what nobody changes need not be copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch


@contextmanager
def light_copies() -> Iterator[None]:
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


def own_storage(program: torch.export.ExportedProgram) -> None:
    """A weight that is a view of another gets memory of its own: ExecuTorch's serialisers write the
    whole storage from its beginning, so that a second half would be read as the first.

    Copies of the usual kind would have done it by the way.
    """
    weights = program.state_dict
    for name, weight in weights.items():
        if weight.untyped_storage().nbytes() != weight.nbytes:
            weights[name] = torch.nn.Parameter(weight.detach().clone(), requires_grad=False)
