"""temporal_attention_block, float32: LayerNorm, projections, attention over frames, residual.

The FLOPs are those of the four projections and of the attention.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from mobilevd import _kernels
from mobilevd.kernels import pack_temporal_attention_block

from .onnx_graph import Graph
from .problem import Array, Kernel, Problem, normal


def problem(
    frames: int, positions: int, channels: int, heads: int, head_dim_qk: int, head_dim_v: int
) -> Problem:
    block = _Block(frames, channels, heads, head_dim_qk, head_dim_v)
    x = normal(1, frames, positions, channels, seed=0)
    pack: Any = pack_temporal_attention_block
    packed = pack(*block.parameters_in_order(), num_heads=heads, precision="float32")
    arrays: Any = [None if t is None else t.detach().numpy() for t in packed]
    x_array, run = x.numpy(), cast(Any, _kernels.temporal_attention_block)

    def ours(out: Array) -> None:
        run(x_array, *arrays, out, heads, block.scale)

    qk, v = heads * head_dim_qk, heads * head_dim_v
    rows = frames * positions
    return Problem(
        inputs={"x": x},
        out_shape=tuple(x.shape),
        flops=4.0 * rows * channels * (qk + v) + 2.0 * rows * frames * (qk + v),
        moved_bytes=4.0 * (2 * x.numel() + 2 * channels * (qk + v)),
        ours=ours,
        torch={"": lambda out: torch.add(block.attention(x), x, out=out)},
        onnxruntime={"": block.graph(positions)},
        openvino={"": block.graph(positions)},
        executorch={"": block},
    )


class _Block(nn.Module):
    """What a framework does: three Linear layers, permute, attention, permute, Linear, add."""

    def __init__(self, frames: int, channels: int, heads: int, d_qk: int, d_v: int) -> None:
        super().__init__()
        self.frames, self.heads, self.scale = frames, heads, d_qk**-0.5
        scale = channels**-0.5

        def weight(rows: int, columns: int, seed: int) -> nn.Parameter:
            return nn.Parameter(normal(rows, columns, seed=seed, scale=scale), requires_grad=False)

        self.norm_weight = nn.Parameter(normal(channels, seed=1), requires_grad=False)
        self.norm_bias = nn.Parameter(normal(channels, seed=2), requires_grad=False)
        self.to_q = weight(heads * d_qk, channels, 3)
        self.to_k = weight(heads * d_qk, channels, 4)
        self.to_v = weight(heads * d_v, channels, 5)
        self.to_out = weight(channels, heads * d_v, 6)
        self.out_bias = nn.Parameter(normal(channels, seed=7), requires_grad=False)

    def parameters_in_order(self) -> list[Tensor]:
        names = ("norm_weight", "norm_bias", "to_q", "to_k", "to_v", "to_out", "out_bias")
        return [getattr(self, name) for name in names]

    def attention(self, x: Tensor) -> Tensor:
        norm = layer_norm(x[0], x.shape[3:], self.norm_weight, self.norm_bias)
        shape = (*norm.shape[:2], self.heads, -1)
        q, k, v = (
            linear(norm, w).view(shape).permute(1, 2, 0, 3)
            for w in (self.to_q, self.to_k, self.to_v)
        )
        result = scaled_dot_product_attention(q, k, v)
        joined = result.permute(2, 0, 1, 3).reshape(*norm.shape[:2], -1)
        return linear(joined, self.to_out, self.out_bias).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x) + x

    def graph(self, positions: int) -> Graph:
        g = Graph()
        channels = self.out_bias.numel()
        shape = (1, self.frames, positions, channels)
        x = g.input("x", shape)
        weights = (p.detach().numpy() for p in self.parameters_in_order())
        norm_weight, norm_bias, to_q, to_k, to_v, to_out, out_bias = weights
        norm = g.node(
            "LayerNormalization", x, g.constant(norm_weight), g.constant(norm_bias), epsilon=1e-5
        )
        rows = g.reshape(norm, (self.frames * positions, channels))

        def project(w: Any, *order: int) -> str:
            y = g.node("MatMul", rows, g.constant(w.T.copy()))
            return g.transpose(g.reshape(y, (self.frames, positions, self.heads, -1)), *order)

        q = g.node("Mul", project(to_q, 1, 2, 0, 3), g.constant(self.scale))
        logits = g.node("MatMul", q, project(to_k, 1, 2, 3, 0))
        result = g.node("MatMul", g.node("Softmax", logits, axis=-1), project(to_v, 1, 2, 0, 3))
        joined = g.reshape(g.transpose(result, 2, 0, 1, 3), (self.frames * positions, -1))
        out = g.node("MatMul", joined, g.constant(to_out.T.copy()))
        out = g.reshape(g.node("Add", out, g.constant(out_bias)), shape)
        return g.returns(g.node("Add", out, x), shape)


KERNEL = Kernel(
    name="temporal_attention_block",
    sizes=("frames", "positions", "channels", "heads", "head_dim_qk", "head_dim_v"),
    shapes=(
        (14, 2048, 320, 5, 64, 64),
        (14, 512, 640, 10, 64, 64),
        (14, 128, 1280, 20, 64, 64),
        (14, 32, 1280, 20, 64, 64),
        (7, 2048, 320, 5, 64, 64),
        (7, 512, 640, 10, 64, 64),
        (7, 128, 1280, 20, 64, 64),
        (7, 32, 1280, 20, 64, 64),
        (14, 2048, 320, 5, 32, 32),
        (14, 512, 640, 10, 32, 32),
        (14, 128, 1280, 20, 32, 32),
    ),
    problem=problem,
)
