"""linear with bias: none, residual or GEGLU behind it; x and the result [rows, features]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from torch.nn.functional import linear as torch_linear

from mobilevd import _kernels
from mobilevd.kernels import pack_linear_weight

from .onnx_graph import Graph
from .problem import Array, Kernel, Problem, normal


def problem(rows: int, in_features: int, out_features: int, epilogue: str) -> Problem:
    layer = _Linear(in_features, out_features, epilogue)
    x = normal(rows, in_features, seed=0)
    residual = normal(rows, out_features, seed=3) if epilogue == "residual" else None
    inputs = {"x": x} if residual is None else {"x": x, "residual": residual}
    packed = pack_linear_weight(layer.weight.detach(), geglu=epilogue == "geglu")
    bias = layer.bias.detach().numpy()
    arrays = x.numpy(), packed.numpy()
    added = None if residual is None else residual.numpy()
    activation = "geglu" if epilogue == "geglu" else None

    def ours(out: Array) -> None:
        _kernels.linear(*arrays, out, bias, added, activation)

    width = layer.weight.shape[0]
    return Problem(
        inputs=inputs,
        out_shape=(rows, out_features),
        flops=2.0 * rows * in_features * width,
        moved_bytes=4.0 * (x.numel() + width * in_features + rows * out_features * len(inputs)),
        ours=ours,
        torch={"": lambda out: layer(*inputs.values())},
        onnxruntime={"": layer.graph(rows)},
        openvino={"": layer.graph(rows)},
        executorch={"": layer},
    )


class _Linear(nn.Module):
    def __init__(self, in_features: int, out_features: int, epilogue: str) -> None:
        super().__init__()
        self.epilogue = epilogue
        width = out_features * (2 if epilogue == "geglu" else 1)
        weight = normal(width, in_features, seed=1, scale=in_features**-0.5)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(normal(width, seed=2), requires_grad=False)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        result = torch_linear(x, self.weight, self.bias)
        if residual is not None:
            return result + residual
        if self.epilogue == "geglu":
            value, gate = result.chunk(2, -1)
            return value * gelu(gate)
        return result

    def graph(self, rows: int) -> Graph:
        g = Graph(opset=20)
        width, in_features = self.weight.shape
        weight: Any = torch.t(self.weight).contiguous().numpy()
        x = g.input("x", (rows, in_features))
        y = g.node("Gemm", x, g.constant(weight), g.constant(self.bias.numpy()))
        if self.epilogue == "residual":
            return g.returns(g.node("Add", y, g.input("residual", (rows, width))), (rows, width))
        if self.epilogue == "geglu":
            half = width // 2
            parts = [
                g.node("Slice", y, *(g.constant([n]) for n in (begin, begin + half, 1)))
                for begin in (0, half)
            ]
            return g.returns(g.node("Mul", parts[0], g.node("Gelu", parts[1])), (rows, half))
        return g.returns(y, (rows, width))


KERNEL = Kernel(
    name="linear",
    sizes=("rows", "in_features", "out_features", "epilogue"),
    shapes=(
        (28672, 320, 320, "none"),
        (28672, 320, 320, "residual"),
        (28672, 320, 1280, "geglu"),
        (28672, 1280, 320, "residual"),
        (7168, 640, 640, "none"),
        (7168, 640, 640, "residual"),
        (7168, 640, 2560, "geglu"),
        (7168, 2560, 640, "residual"),
        (3584, 640, 640, "none"),
        (3584, 640, 2560, "geglu"),
        (3584, 2560, 640, "residual"),
        (1792, 1280, 1280, "none"),
        (896, 1280, 1280, "none"),
        (896, 1280, 5120, "geglu"),
        (896, 5120, 1280, "residual"),
        (224, 1280, 1280, "none"),
    ),
    problem=problem,
)
