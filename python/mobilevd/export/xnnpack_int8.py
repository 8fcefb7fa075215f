"""What an int8 bundle for the CPU computes on integers, and what stays float32.

Convolutions are static: features are taken to 8 bits in ranges seen in calibration. Linear layers
are dynamic: each position's features get their own range while the program runs. Both give float32,
and weights are symmetric, a scale per output channel. All else stays float32: norms, attention,
sums, and convolutions that read or write latents and pictures, whose rounding would be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch.fx import Node

from ..kernels import pack_conv_int8, pack_gemm_int8, torch_ops
from ..models.store import half_of

# Frames have 3 channels and latents 4 or 8; features inside have more.
_FEWEST_CHANNELS = 16

# A range is not widened to XNNPACKQuantizer's 2^-12 steps, which is a large part of some.
_SMALLEST_SCALE = 2.0**-24

_IN_8_BITS: dict[Any, Any] = {
    torch_ops.conv2d_3x3: torch_ops.conv2d_3x3_int8,
    torch_ops.temporal_conv: torch_ops.temporal_conv_int8,
}


def _of_features(weight_shape: Sequence[int], out_channels: Any) -> bool:
    """By the packed weight of a convolution of ours, [panels, taps, C_in, 16]."""
    return bool(min(weight_shape[2], out_channels) >= _FEWEST_CHANNELS)


def int8_quantizer() -> Any:
    """A pt2e quantizer: our convolutions' inputs are observed, others annotated for XNNPACK."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import OP_TO_ANNOTATOR
    from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import (
        QuantizationAnnotation,
        QuantizationConfig,
        QuantizationSpec,
        Quantizer,
    )

    weights = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=_SMALLEST_SCALE),
    )
    seen = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=_SMALLEST_SCALE),
    )
    static = QuantizationConfig(seen, seen, weights, None, False)

    class Int8Quantizer(Quantizer):
        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            for node in model.graph.nodes:
                if node.target not in _IN_8_BITS:
                    continue
                if _of_features(node.args[1].meta["val"].shape, node.args[2]):
                    node.meta["quantization_annotation"] = QuantizationAnnotation(
                        input_qspec_map={node.args[0]: seen}, _annotated=True
                    )
            OP_TO_ANNOTATOR["conv"](model, static, None)
            return model

        def validate(self, model: torch.fx.GraphModule) -> None:
            pass

    return Int8Quantizer()


@torch.no_grad()
def put_int8_kernels(model: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """After ``convert_pt2e``: convolutions of ours behind a dequantised input, and all linear
    layers, in 8 bits; weights of our other convolutions in halves."""
    for node in list(model.graph.nodes):
        if node.target in _IN_8_BITS:
            _replace_convolution(model, node)
        elif node.target == torch.ops.aten.linear.default:
            _replace_linear(model, node)
    model.graph.eliminate_dead_code()
    model.delete_all_unused_submodules()
    model.recompile()
    return model


def _replace_convolution(model: torch.fx.GraphModule, node: Node) -> None:
    x, weight, out_channels, *rest = node.args
    packed = _constant(model, weight)
    if not _of_features(packed.shape, out_channels):
        half = half_of(str(weight), packed)
        node.update_arg(1, _attribute(model, node, "half", half))
        return
    assert isinstance(x, Node)
    assert isinstance(out_channels, int)
    quantize = x.args[0]
    assert isinstance(quantize, Node), f"{node} has no range"
    source, scale, zero_point = quantize.args[:3]
    # [panels, taps, C_in, 16] as it was, [out_channels, C_in, taps]
    plain = (
        packed.permute(0, 3, 2, 1)
        .flatten(0, 1)[:out_channels]
        .reshape(out_channels, packed.shape[2], *((3, 3) if packed.shape[1] == 9 else (3,)))
    )
    int8, scales = pack_conv_int8(plain)
    with model.graph.inserting_before(node):
        arguments = (
            source,
            _attribute(model, node, "int8", int8),
            _attribute(model, node, "scales", scales),
            out_channels,
            float(scale),  # type: ignore[arg-type]
            int(zero_point),  # type: ignore[arg-type]
            *rest,
        )
        _put(model, node, _IN_8_BITS[node.target], arguments)


def _replace_linear(model: torch.fx.GraphModule, node: Node) -> None:
    x, weight, *bias = node.args
    assert isinstance(x, Node)
    plain = _constant(model, weight)
    int8, scales = pack_gemm_int8(plain)
    with model.graph.inserting_before(node):
        if not x.meta["val"].is_contiguous():
            x = model.graph.call_function(torch.ops.aten.contiguous.default, (x,))
        arguments = (
            x,
            _attribute(model, node, "int8", int8),
            _attribute(model, node, "scales", scales),
            plain.shape[0],
            *bias,
        )
        _put(model, node, torch_ops.gemm_int8, arguments)


def _put(model: torch.fx.GraphModule, node: Node, op: Any, arguments: tuple[Any, ...]) -> None:
    new = model.graph.call_function(op, arguments)
    new.meta = node.meta.copy()
    node.replace_all_uses_with(new)
    model.graph.erase_node(node)


def _constant(model: torch.fx.GraphModule, node: Any) -> torch.Tensor:
    """A weight in the graph."""
    assert node.op == "get_attr", f"{node} is no weight"
    value: torch.Tensor = attrgetter(node.target)(model)
    return value.detach()


def _attribute(model: torch.fx.GraphModule, node: Node, kind: str, value: torch.Tensor) -> Node:
    """``value`` as a buffer of the model, read before ``node``."""
    name = f"{node.name}_{kind}"
    model.register_buffer(name, value)
    with model.graph.inserting_before(node):
        return model.graph.get_attr(name)
