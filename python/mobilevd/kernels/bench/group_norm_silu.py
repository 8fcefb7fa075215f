"""group_norm_silu: 32 groups, weight and bias; channels first, and channels last in place of it."""

from __future__ import annotations

from torch import Tensor, channels_last, nn
from torch.nn.functional import group_norm, silu

from mobilevd import _kernels

from .onnx_graph import Graph
from .problem import Array, Kernel, Problem, normal

_GROUPS = 32
# kernels/shapes/group_norm_silu.txt, each size in both layouts.
_SIZES = (
    (14, 320, 2048),
    (14, 640, 512),
    (14, 1280, 128),
    (14, 1280, 32),
    (14, 960, 2048),
    (14, 640, 2048),
    (14, 1920, 512),
    (7, 640, 512),
    (7, 1280, 128),
    (7, 2560, 32),
    (1, 320, 28672),
    (1, 640, 3584),
)


def problem(batch: int, channels: int, positions: int, last: int) -> Problem:
    shape = (batch, positions, channels) if last else (batch, channels, positions)
    x, weight, bias = normal(*shape, seed=0), normal(channels, seed=1), normal(channels, seed=2)
    arrays = x.numpy(), weight.numpy(), bias.numpy()

    def ours(out: Array) -> None:
        _kernels.group_norm_silu(*arrays, out, _GROUPS, channels_last=bool(last))

    # A picture of one row, so that torch knows the layout as its own channels_last.
    view = x.permute(0, 2, 1).unsqueeze(2) if last else x
    assert not last or view.is_contiguous(memory_format=channels_last)

    def torch_call(out: Tensor) -> Tensor:
        result = silu(group_norm(view, _GROUPS, weight, bias), inplace=True)
        return result.squeeze(2).permute(0, 2, 1) if last else result

    graph = Graph(opset=21)
    given = graph.input("x", shape)
    first = graph.transpose(given, 0, 2, 1) if last else given
    normed = graph.node(
        "GroupNormalization",
        first,
        graph.constant(weight.numpy()),
        graph.constant(bias.numpy()),
        num_groups=_GROUPS,
        epsilon=1e-5,
    )
    result = graph.node("Mul", normed, graph.node("Sigmoid", normed))
    graph.returns(graph.transpose(result, 0, 2, 1) if last else result, shape)

    return Problem(
        inputs={"x": x},
        out_shape=shape,
        flops=14.0 * x.numel(),  # two for the mean, three the variance, two the scale, seven SiLU
        moved_bytes=4.0 * 2 * x.numel(),
        ours=ours,
        torch={"": torch_call},
        onnxruntime={"": graph},
        openvino={"": graph},
        executorch={"": _Norm(weight, bias, bool(last))},
    )


class _Norm(nn.Module):
    def __init__(self, weight: Tensor, bias: Tensor, last: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        first = x.permute(0, 2, 1) if self.last else x
        result: Tensor = silu(group_norm(first, _GROUPS, self.weight, self.bias))
        return result.permute(0, 2, 1) if self.last else result


KERNEL = Kernel(
    name="group_norm_silu",
    sizes=("batch", "channels", "positions", "channels_last"),
    shapes=tuple((*sizes, last) for last in (0, 1) for sizes in _SIZES),
    problem=problem,
)
