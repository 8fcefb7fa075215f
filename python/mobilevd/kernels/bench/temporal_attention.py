"""temporal_attention: q, k, v and the result [1, F, S, C], nothing permuted for anybody."""

from __future__ import annotations

from torch import Tensor, empty, nn
from torch.nn.functional import scaled_dot_product_attention

from mobilevd import _kernels

from .onnx_graph import Graph
from .problem import Array, Kernel, Problem, normal

# kernels/shapes/temporal_attention.txt, without the last column.
_SIZES = (
    (14, 2048, 320),
    (14, 512, 640),
    (14, 128, 1280),
    (14, 32, 1280),
    (7, 512, 640),
    (7, 128, 1280),
    (7, 32, 1280),
)


def problem(frames: int, positions: int, channels: int, head_dim: int) -> Problem:
    heads = channels // head_dim
    shape = (1, frames, positions, channels)
    q, k, v = (normal(*shape, seed=seed) for seed in range(3))
    arrays = q.numpy(), k.numpy(), v.numpy()

    def ours(out: Array) -> None:
        _kernels.temporal_attention(*arrays, out, heads)

    def heads_first(x: Tensor) -> Tensor:  # [S, H, F, d], strided
        return x.view(frames, positions, heads, head_dim).permute(1, 2, 0, 3)

    copies = [empty(positions, heads, frames, head_dim) for _ in range(3)]

    def permute(out: Tensor) -> None:
        for copy, x in zip(copies, (q, k, v), strict=True):
            copy.copy_(heads_first(x))
        query, key, value = copies
        heads_first(out).copy_(scaled_dot_product_attention(query, key, value))

    def strided(out: Tensor) -> None:
        result = scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v))
        heads_first(out).copy_(result)

    return Problem(
        inputs={"q": q, "k": k, "v": v},
        out_shape=shape,
        flops=4.0 * frames * frames * positions * channels,
        moved_bytes=4.0 * 4 * frames * positions * channels,
        ours=ours,
        torch={"permute": permute, "strided": strided},
        onnxruntime={"": _matmul_graph(frames, positions, heads, head_dim)},
        openvino={"": _attention_graph(frames, positions, heads, head_dim)},
        executorch={
            "default": _Attention(heads, head_dim, explicit=False),
            "explicit": _Attention(heads, head_dim, explicit=True),
        },
    )


# Of MatMul and Softmax, the Attention operator on [S, F, C] and on [S, H, F, d], ONNX Runtime was
# fastest with the first (scaling q, which is smaller than the logits) and OpenVINO with the second.
def _matmul_graph(frames: int, positions: int, heads: int, head_dim: int) -> Graph:
    g = Graph()
    shape = (1, frames, positions, heads * head_dim)
    split = (frames, positions, heads, head_dim)
    q, k, v = (g.reshape(g.input(name, shape), split) for name in "qkv")
    scaled = g.node("Mul", g.transpose(q, 1, 2, 0, 3), g.constant(head_dim**-0.5))
    weights = g.node("Softmax", g.node("MatMul", scaled, g.transpose(k, 1, 2, 3, 0)), axis=-1)
    result = g.node("MatMul", weights, g.transpose(v, 1, 2, 0, 3))
    return g.returns(g.reshape(g.transpose(result, 2, 0, 1, 3), shape), shape)


def _attention_graph(frames: int, positions: int, heads: int, head_dim: int) -> Graph:
    g = Graph(opset=23)
    shape = (1, frames, positions, heads * head_dim)
    rows = [g.transpose(g.reshape(g.input(name, shape), shape[1:]), 1, 0, 2) for name in "qkv"]
    result = g.node("Attention", *rows, q_num_heads=heads, kv_num_heads=heads)
    return g.returns(g.reshape(g.transpose(result, 1, 0, 2), shape), shape)


class _Attention(nn.Module):
    """What an exported model does. With `explicit`, softmax(q k^T) v is written out, since
    ExecuTorch leaves a dozen small operators of the default one outside the delegate."""

    def __init__(self, heads: int, head_dim: int, explicit: bool) -> None:
        super().__init__()
        self.heads, self.head_dim, self.explicit = heads, head_dim, explicit

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        split = (*q.shape[1:3], self.heads, self.head_dim)
        query, key, value = (x.view(split).permute(1, 2, 0, 3) for x in (q, k, v))
        if self.explicit:
            logits = (query * self.head_dim**-0.5) @ key.transpose(-1, -2)
            result = logits.softmax(-1) @ value
        else:
            result = scaled_dot_product_attention(query, key, value)
        return result.permute(2, 0, 1, 3).reshape(v.shape)


KERNEL = Kernel(
    name="temporal_attention",
    sizes=("frames", "positions", "channels", "head_dim"),
    shapes=tuple((*sizes, head_dim) for head_dim in (64, 32) for sizes in _SIZES),
    problem=problem,
)
