"""Small ONNX graphs, written by hand: what ONNX Runtime and OpenVINO are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Graph:
    """`g.reshape(g.input("x", shape), ...)`: methods add nodes and return the name of the result.

    Kept as plain data until `serialize`, so that describing one needs no onnx.
    """

    def __init__(self, opset: int = 17) -> None:
        self.opset = opset
        self.inputs: dict[str, Sequence[int]] = {}
        self.output: tuple[str, Sequence[int]] | None = None
        self._nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self._constants: dict[str, Any] = {}

    def input(self, name: str, shape: Sequence[int]) -> str:
        self.inputs[name] = shape
        return name

    def constant(self, value: Any) -> str:
        """A weight, an int64 shape or a float32 scalar."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"constant{len(self._constants)}"
        self._constants[name] = array
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}{len(self._nodes)}"
        self._nodes.append((op, list(inputs), name, attributes))
        return name

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)))

    def transpose(self, x: str, *order: int) -> str:
        return self.node("Transpose", x, perm=list(order))

    def returns(self, x: str, shape: Sequence[int]) -> Graph:
        self.output = (x, shape)
        return self

    def serialize(self) -> bytes:
        from onnx import TensorProto, helper, numpy_helper

        def value(name: str, shape: Sequence[int]) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        assert self.output is not None
        graph = helper.make_graph(
            [helper.make_node(op, ins, [out], **attrs) for op, ins, out, attrs in self._nodes],
            "kernel",
            [value(name, shape) for name, shape in self.inputs.items()],
            [value(*self.output)],
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        opset = helper.make_opsetid("", self.opset)
        model: bytes = helper.make_model(
            graph, opset_imports=[opset], ir_version=10
        ).SerializeToString()
        return model
