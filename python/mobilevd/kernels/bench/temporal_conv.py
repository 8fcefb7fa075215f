"""temporal_conv with bias, filter (3, 1, 1): x and the result [B, F, S, C] for everybody."""

from __future__ import annotations

from mobilevd import _kernels

from .conv2d import convolution
from .problem import Array, Kernel, Problem


def problem(
    batch: int, frames: int, positions: int, in_channels: int, out_channels: int
) -> Problem:
    def ours(x: Array, weight: Array, bias: Array, out: Array) -> None:
        _kernels.temporal_conv(x, weight, out, out_channels, bias)

    return convolution((batch, frames, positions, in_channels), out_channels, (3, 1), 1, ours)


KERNEL = Kernel(
    name="temporal_conv",
    sizes=("batch", "frames", "positions", "in_channels", "out_channels"),
    shapes=(
        (1, 14, 2048, 320, 320),
        (1, 14, 512, 640, 640),
        (1, 7, 512, 640, 640),
        (1, 14, 128, 1280, 1280),
        (1, 7, 128, 1280, 1280),
        (1, 14, 32, 1280, 1280),
        (1, 7, 32, 1280, 1280),
    ),
    problem=problem,
)
