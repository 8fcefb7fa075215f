"""What an int8 bundle for the CPU computes on integers, on our kernels, and what stays float32.

Convolutions are static: features are taken to 8 bits in ranges seen in calibration. Linear layers
are dynamic: each position's features get their own range while the program runs. Both give float32,
and weights are symmetric, a scale per output channel. All else stays float32: norms, attention,
sums, and convolutions that read or write latents and pictures, whose rounding would be seen; of
those, ours have their weights in float16. The exception is the image encoder's patch embedding, an
eighth of its weights in `mini`: a static convolution of XNNPACK's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch.fx import Node

from ..kernels import pack_conv_int8, pack_gemm_int8, torch_ops
from ..models.store import half_of

# Pictures have 3 channels and latents 4 or 8; features inside have more.
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


def _writes_features(node: Node) -> bool:
    """Of a convolution of torch's; True of what is none, for annotators ask of its weights, too."""
    if node.target != torch.ops.aten.conv2d.default:
        return True
    weight = node.args[1]
    assert isinstance(weight, Node)
    return bool(weight.meta["val"].shape[0] >= _FEWEST_CHANNELS)


def int8_quantizer() -> Any:
    """A pt2e quantizer that observes what our convolutions of features read, and annotates torch's
    for XNNPACK."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import OP_TO_ANNOTATOR
    from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import (
        QuantizationAnnotation,
        QuantizationConfig,
        QuantizationSpec,
        Quantizer,
    )

    seen = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=_SMALLEST_SCALE),
    )

    weights = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=_SMALLEST_SCALE),
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
            OP_TO_ANNOTATOR["conv"](model, static, _writes_features)
            return model

        def validate(self, model: torch.fx.GraphModule) -> None:
            pass

    return Int8Quantizer()


@torch.no_grad()
def put_int8_kernels(model: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """After ``convert_pt2e``: convolutions of ours behind a dequantised input, and linear layers
    with constant weights, in 8 bits; weights of our other convolutions in halves."""
    constants = _Constants(model)
    for node in list(model.graph.nodes):
        if node.target in _IN_8_BITS:
            _replace_convolution(constants, node)
        elif node.target == torch.ops.aten.linear.default and node.args[1].op == "get_attr":
            _replace_linear(constants, node)
    model.graph.eliminate_dead_code()
    constants.forget_unused()
    model.recompile()
    return model


def _replace_convolution(constants: _Constants, node: Node) -> None:
    x, weight, out_channels, *rest = node.args
    packed = constants.value(weight)
    if not _of_features(packed.shape, out_channels):
        halves = constants.put(node, weight, "half", lambda: (half_of(str(weight), packed),))
        node.update_arg(1, halves[0])
        return
    assert isinstance(x, Node)
    assert isinstance(out_channels, int)
    quantize = x.args[0]
    assert isinstance(quantize, Node), f"{node} has no range"
    source, scale, zero_point = quantize.args[:3]

    def in_8_bits() -> tuple[torch.Tensor, ...]:
        # [panels, taps, C_in, 16] as it was, [out_channels, C_in, taps]
        plain = (
            packed.permute(0, 3, 2, 1)
            .flatten(0, 1)[:out_channels]
            .reshape(out_channels, packed.shape[2], *((3, 3) if packed.shape[1] == 9 else (3,)))
        )
        return pack_conv_int8(plain)

    _put(
        constants.model,
        node,
        _IN_8_BITS[node.target],
        source,
        *constants.put(node, weight, "int8", in_8_bits),
        out_channels,
        float(scale),  # type: ignore[arg-type]
        int(zero_point),  # type: ignore[arg-type]
        # pt2e takes every argument that is x to 8 bits; a residual is added as it is.
        *(source if argument is x else argument for argument in rest),
    )


def _replace_linear(constants: _Constants, node: Node) -> None:
    x, weight, *bias = node.args
    assert isinstance(x, Node)
    plain = constants.value(weight)
    value = x.meta.get("val")
    if value is None or not value.is_contiguous():
        with constants.model.graph.inserting_before(node):
            x = constants.model.graph.call_function(torch.ops.aten.contiguous.default, (x,))
    int8 = constants.put(node, weight, "int8", lambda: pack_gemm_int8(plain))
    _put(constants.model, node, torch_ops.gemm_int8, x, *int8, plain.shape[0], *bias)


def _put(model: torch.fx.GraphModule, node: Node, op: Any, *arguments: Any) -> None:
    """A call of ``op`` in place of ``node``."""
    assert not node.kwargs, f"{node} has keyword arguments"
    with model.graph.inserting_before(node):
        new = model.graph.call_function(op, arguments)
    new.meta = node.meta.copy()
    node.replace_all_uses_with(new)
    model.graph.erase_node(node)


class _Constants:
    """The weights of a graph: one that several layers share is made anew once."""

    def __init__(self, model: torch.fx.GraphModule) -> None:
        self.model = model
        self._made: dict[tuple[Any, str], list[str]] = {}

    def value(self, node: Any) -> torch.Tensor:
        if node.op != "get_attr":
            raise ValueError(f"int8: the weight '{node}' is computed, not a constant")
        value: torch.Tensor = attrgetter(node.target)(self.model)
        return value.detach()

    def put(
        self, before: Node, of: Any, kind: str, make: Callable[[], tuple[torch.Tensor, ...]]
    ) -> list[Node]:
        """What ``make`` makes of the weight ``of``, as buffers of the model read before a node."""
        made = self._made.setdefault((of.target, kind), [])
        if not made:
            # Short names: each stands in the program and beside the weights.
            stem = f"{kind}_{len(self._made)}"
            for i, tensor in enumerate(make()):
                made.append(f"{stem}_{i}")
                self.model.register_buffer(made[-1], tensor)
        with self.model.graph.inserting_before(before):
            return [self.model.graph.get_attr(name) for name in made]

    def forget_unused(self) -> None:
        """Float weights would be beside the integers until the program is written."""
        used = {node.target for node in self.model.graph.nodes if node.op == "get_attr"}
        named = [*self.model.named_parameters(), *self.model.named_buffers()]
        for name in {name for name, _ in named} - used:
            owner, _, attribute = name.rpartition(".")
            delattr(self.model.get_submodule(owner), attribute)
