"""conv2d_3x3 with bias: x and the result [N, H, W, C], channels last, for everybody.

FLOPs are those of the definition, so Winograd's share of the roofline can pass 100 %.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, channels_last, nn
from torch.nn.functional import conv2d

from mobilevd import _kernels
from mobilevd.kernels import pack_conv_weight

from .onnx_graph import Graph
from .problem import Array, Kernel, Problem, normal


def problem(
    batch: int, height: int, width: int, in_channels: int, out_channels: int, stride: int
) -> Problem:
    def ours(x: Array, weight: Array, bias: Array, out: Array) -> None:
        _kernels.conv2d_3x3(x, weight, out, out_channels, bias, None, None, stride)

    return convolution((batch, height, width, in_channels), out_channels, (3, 3), stride, ours)


def convolution(
    shape: tuple[int, int, int, int],
    out_channels: int,
    taps: tuple[int, int],
    stride: int,
    ours: Callable[[Array, Array, Array, Array], None],
) -> Problem:
    """Over the middle two dimensions of x. Peers are given x as a permuted view, or permute inside
    their graph, which all of them see through: channels-first copies were no faster."""
    in_channels, area = shape[3], taps[0] * taps[1]
    x, bias = normal(*shape, seed=0), normal(out_channels, seed=1)
    weight = normal(out_channels, in_channels, *taps, seed=2, scale=(in_channels * area) ** -0.5)
    packed = pack_conv_weight(weight).numpy()
    padding = (taps[0] // 2, taps[1] // 2)
    out_shape = (shape[0], *(-(-size // stride) for size in shape[1:3]), out_channels)

    view = x.permute(0, 3, 1, 2)
    weight_last = weight.to(memory_format=channels_last)

    def torch_call(_: Tensor) -> Tensor:
        return conv2d(view, weight_last, bias, stride, padding).permute(0, 2, 3, 1)

    graph = Graph()
    result = graph.node(
        "Conv",
        graph.transpose(graph.input("x", shape), 0, 3, 1, 2),
        graph.constant(weight.numpy()),
        graph.constant(bias.numpy()),
        pads=[*padding, *padding],
        strides=[stride, stride],
    )
    graph.returns(graph.transpose(result, 0, 2, 3, 1), out_shape)

    arrays = x.numpy(), packed, bias.numpy()
    pixels = out_shape[0] * out_shape[1] * out_shape[2]
    return Problem(
        inputs={"x": x},
        out_shape=out_shape,
        flops=2.0 * pixels * area * in_channels * out_channels,
        moved_bytes=4.0 * (x.numel() + weight.numel() + pixels * out_channels),
        ours=lambda out: ours(*arrays, out),
        torch={"": torch_call},
        onnxruntime={"": graph},
        openvino={"": graph},
        executorch={"": ChannelsLast(weight, bias, stride, padding)},
    )


class ChannelsLast(nn.Module):
    """The convolution between the permutations that XNNPACK sees through."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, padding: tuple[int, int]) -> None:
        super().__init__()
        out_channels, in_channels, *taps = weight.shape
        self.conv = nn.Conv2d(in_channels, out_channels, (taps[0], taps[1]), stride, padding)
        self.conv.weight.data, self.conv.bias.data = weight, bias  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x.permute(0, 3, 1, 2))
        return result.permute(0, 2, 3, 1)


KERNEL = Kernel(
    name="conv2d",
    sizes=("batch", "height", "width", "in_channels", "out_channels", "stride"),
    shapes=(
        (14, 32, 64, 320, 320, 1),
        (14, 32, 64, 640, 320, 1),
        (14, 32, 64, 960, 320, 1),
        (14, 32, 64, 320, 320, 2),
        (14, 16, 32, 640, 640, 2),
        (7, 8, 16, 1280, 1280, 2),
        (14, 16, 32, 640, 640, 1),
        (7, 16, 32, 640, 640, 1),
        (7, 16, 32, 1280, 640, 1),
        (7, 16, 32, 1920, 640, 1),
        (14, 8, 16, 1280, 1280, 1),
        (7, 8, 16, 1280, 1280, 1),
        (7, 8, 16, 2560, 1280, 1),
        (7, 4, 8, 1280, 1280, 1),
        (7, 4, 8, 2560, 1280, 1),
    ),
    problem=problem,
)
