"""conv2d_3x3_int8 with bias: float32 comes and goes, channels last, for everybody.

Peers compute on 8 bits, too, and round their results to 8 bits, as they must for their own kernels;
torch, in float32, is what 8 bits have to beat. FLOPs are those of the definition.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, channels_last, nn
from torch.nn.functional import conv2d

from mobilevd import _kernels
from mobilevd.kernels import pack_conv_int8

from .conv2d import KERNEL as FLOAT
from .conv2d import ChannelsLast
from .onnx_graph import Graph
from .problem import Kernel, Problem, normal


def problem(
    batch: int, height: int, width: int, in_channels: int, out_channels: int, stride: int
) -> Problem:
    shape = (batch, height, width, in_channels)
    x, bias = normal(*shape, seed=0), normal(out_channels, seed=1)
    weight = normal(out_channels, in_channels, 3, 3, seed=2, scale=(in_channels * 9) ** -0.5)
    packed, scales = (array.numpy() for array in pack_conv_int8(weight))
    scale, zero_point = _range(x)
    arrays, numbers = (x.numpy(), packed, scales), (out_channels, scale, zero_point)

    def ours(out: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        _kernels.conv2d_3x3_int8(*arrays, out, *numbers, bias.numpy(), None, None, stride)

    view, weight_last = x.permute(0, 3, 1, 2), weight.to(memory_format=channels_last)

    def torch_call(_: Tensor) -> Tensor:
        return conv2d(view, weight_last, bias, stride, 1).permute(0, 2, 3, 1)

    out_shape = (batch, -(-height // stride), -(-width // stride), out_channels)
    graph = _graph(x, weight, bias, stride, _range(torch_call(x)), out_shape)
    pixels = out_shape[0] * out_shape[1] * out_shape[2]
    return Problem(
        inputs={"x": x},
        out_shape=out_shape,
        flops=18.0 * pixels * in_channels * out_channels,
        moved_bytes=4.0 * (x.numel() + pixels * out_channels) + weight.numel(),
        ours=ours,
        torch={"float": torch_call},
        onnxruntime={"": graph},
        openvino={"": graph},
        executorch={"": _quantised(ChannelsLast(weight, bias, stride, (1, 1)), x)},
        tolerance=0.03,
    )


def _range(x: Tensor) -> tuple[float, int]:
    """Scale and zero point of a tensor's values."""
    low, high = float(x.min().clamp(max=0)), float(x.max().clamp(min=0))
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


def _quantised(module: nn.Module, x: Tensor) -> nn.Module:
    """By pt2e, as XNNPACK wants static convolutions."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True))
    with torch.no_grad():
        captured = torch.export.export(module, (x,)).module()
        observed = prepare_pt2e(captured, quantizer)
        observed(x)
        return convert_pt2e(observed)


def _graph(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: int,
    result_range: tuple[float, int],
    out_shape: tuple[int, ...],
) -> Graph:
    """With quantise and dequantise nodes, which both libraries turn into kernels on 8 bits. Weights
    in 7: without VNNI, ONNX Runtime's sums of two products would saturate."""
    graph = Graph()

    def both(name: str, scale: float, zero_point: int) -> str:
        numbers = graph.constant(np.float32(scale)), graph.constant(np.int8(zero_point))
        return graph.node(
            "DequantizeLinear", graph.node("QuantizeLinear", name, *numbers), *numbers
        )

    scales = weight.abs().amax((1, 2, 3)) / 63
    levels = torch.round(weight / scales[:, None, None, None]).to(torch.int8)
    last = graph.transpose(both(graph.input("x", x.shape), *_range(x)), 0, 3, 1, 2)
    weights = graph.node(
        "DequantizeLinear",
        graph.constant(levels.numpy()),
        graph.constant(scales.numpy()),
        graph.constant(np.zeros(len(scales), np.int8)),
        axis=0,
    )
    result = graph.node(
        "Conv", last, weights, graph.constant(bias.numpy()), pads=[1] * 4, strides=[stride] * 2
    )
    return graph.returns(graph.transpose(both(result, *result_range), 0, 2, 3, 1), out_shape)


KERNEL = Kernel("conv2d_int8", FLOAT.sizes, FLOAT.shapes, problem)
