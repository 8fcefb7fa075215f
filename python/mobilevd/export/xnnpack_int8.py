"""What XNNPACK computes on integers in an int8 bundle, and what stays float32.

Convolutions are static: features enter and leave in 8 bits, in ranges seen in calibration. Linear
layers are dynamic: each position's features get their own range while the program runs, and the
result is float32. Weights are symmetric, a scale per output channel. All else stays float32: norms,
attention, sums, and convolutions that read or write a picture or latents.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

# A picture has 3 channels, latents 4 and a UNet's input twice as many: what is rounded there is
# seen in every pixel, and the weights are few.
_FEWEST_CHANNELS = 16

# Scales of weights are not rounded up to XNNPACKQuantizer's 2^-12, which is a large part of the
# range of a wide layer's weights.
_SMALLEST_SCALE = 2.0**-24


def stays_float(node: Node) -> bool:
    """Whether a convolution reads or writes fewer channels than a network's inside has."""
    weight = node.args[1]
    assert isinstance(weight, Node)
    return min(weight.meta["val"].shape[:2]) < _FEWEST_CHANNELS


def int8_quantizer() -> Any:
    """A pt2e quantizer with XNNPACK's own annotators."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        get_symmetric_quantization_config,
    )
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import OP_TO_ANNOTATOR
    from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import (
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
    given = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True).input_activation
    static = QuantizationConfig(seen, seen, weights, None, False)
    dynamic = QuantizationConfig(given, None, weights, None, False)

    def wanted(node: Node) -> bool:
        # Asked of all that belongs to a layer: of its weights and its ReLU, too.
        return node.target != torch.ops.aten.conv2d.default or not stays_float(node)

    class Int8Quantizer(Quantizer):
        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            for pattern in ("conv_relu", "conv"):
                OP_TO_ANNOTATOR[pattern](model, static, wanted)
            OP_TO_ANNOTATOR["linear"](model, dynamic, None)
            return model

        def validate(self, model: torch.fx.GraphModule) -> None:
            pass

    return Int8Quantizer()
