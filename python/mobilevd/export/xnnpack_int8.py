"""What XNNPACK computes on integers in an int8 bundle, and what stays float32.

Convolutions are static: features enter and leave in 8 bits, in ranges seen in calibration. Linear
layers are dynamic: each position's features get their own range while the program runs, and the
result is float32. Weights are symmetric, a scale per output channel. All else stays float32: norms,
attention, sums, and convolutions that write latents or frames, whose rounding would be seen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

# Frames have 3 channels and latents 4; features inside have more.
_FEWEST_CHANNELS = 16

# Scales of weights are not rounded up to XNNPACKQuantizer's 2^-12, which is a large part of the
# range of a wide layer's weights.
_SMALLEST_SCALE = 2.0**-24


def _writes_features(node: Node) -> bool:
    """True of what is no convolution, too: annotators ask of a layer's weights and its ReLU."""
    if node.target != torch.ops.aten.conv2d.default:
        return True
    weight = node.args[1]
    assert isinstance(weight, Node)
    return weight.meta["val"].shape[0] >= _FEWEST_CHANNELS


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

    class Int8Quantizer(Quantizer):
        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            for pattern in ("conv_relu", "conv"):
                OP_TO_ANNOTATOR[pattern](model, static, _writes_features)
            OP_TO_ANNOTATOR["linear"](model, dynamic, None)
            return model

        def validate(self, model: torch.fx.GraphModule) -> None:
            pass

    return Int8Quantizer()
