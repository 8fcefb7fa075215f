"""spatial_attention: q, k, v and the result [N, S, C], nothing permuted for anybody."""

from __future__ import annotations

from torch import Tensor, empty, nn
from torch.nn.functional import scaled_dot_product_attention

from mobilevd import _kernels

from .onnx_graph import Graph
from .problem import Array, Kernel, Problem, normal


def problem(batch: int, tokens: int, channels: int, head_dim: int) -> Problem:
    heads = channels // head_dim
    shape = (batch, tokens, channels)
    q, k, v = (normal(*shape, seed=seed) for seed in range(3))
    arrays = q.numpy(), k.numpy(), v.numpy()

    def ours(out: Array) -> None:
        _kernels.spatial_attention(*arrays, out, heads)

    def heads_first(x: Tensor) -> Tensor:  # [N, H, S, d], strided
        return x.view(batch, tokens, heads, head_dim).transpose(1, 2)

    copies = [empty(batch, heads, tokens, head_dim) for _ in range(3)]

    def permute(out: Tensor) -> None:
        for copy, x in zip(copies, (q, k, v), strict=True):
            copy.copy_(heads_first(x))
        query, key, value = copies
        heads_first(out).copy_(scaled_dot_product_attention(query, key, value))

    def strided(out: Tensor) -> None:
        result = scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v))
        heads_first(out).copy_(result)

    graph = Graph(opset=23)
    rows = (graph.input(name, shape) for name in "qkv")
    graph.returns(graph.node("Attention", *rows, q_num_heads=heads, kv_num_heads=heads), shape)

    return Problem(
        inputs={"q": q, "k": k, "v": v},
        out_shape=shape,
        flops=4.0 * batch * tokens * tokens * channels,
        moved_bytes=4.0 * 4 * batch * tokens * channels,
        ours=ours,
        torch={"permute": permute, "strided": strided},
        onnxruntime={"": graph},
        openvino={"": graph},
        executorch={"": _Attention(heads)},
    )


class _Attention(nn.Module):
    """Written out, which ExecuTorch runs faster than its own attention."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        split = (*q.shape[:2], self.heads, -1)
        query, key, value = (x.view(split).transpose(1, 2) for x in (q, k, v))
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        return (logits.softmax(-1) @ value).transpose(1, 2).reshape(q.shape)


KERNEL = Kernel(
    name="spatial_attention",
    sizes=("batch", "tokens", "channels", "head_dim"),
    shapes=(
        (14, 2048, 320, 64),
        (7, 512, 640, 64),
        (14, 512, 640, 64),
        (7, 128, 1280, 64),
        (14, 128, 1280, 64),
        (7, 32, 1280, 64),
        (14, 32, 1280, 64),
        (14, 2048, 320, 32),
        (7, 512, 640, 32),
        (14, 512, 640, 32),
        (7, 128, 1280, 32),
        (14, 128, 1280, 32),
        (7, 32, 1280, 32),
        (14, 32, 1280, 32),
    ),
    problem=problem,
)
