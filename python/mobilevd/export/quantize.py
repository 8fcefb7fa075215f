"""Post-training quantisation (pt2e): one loop, annotations for our kernels or the backend's."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .flavour import Flavour
from .stages import Stage


def quantized(stage: Stage, flavour: Flavour) -> nn.Module:
    """The stage with our kernels of integers, or with quantise / dequantise pairs where the backend
    computes on them.

    Weights are 8 bits, per output channel; what is known of features before a run is from the
    smallest to the largest value seen on ``stage.calibration``. ValueError if there is none.
    """
    if not stage.calibration:
        raise ValueError(f"{flavour.precision} needs inputs of '{stage.name}' to calibrate on")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from .xnnpack_int8 import int8_quantizer, put_int8_kernels

    on_cpu = flavour.backend == "xnnpack"
    quantizer = int8_quantizer() if on_cpu else _htp_quantizer(flavour)
    captured = torch.export.export(stage.module, stage.calibration[0], strict=False)
    observed = prepare_pt2e(captured.module(), quantizer)
    for inputs in stage.calibration:
        observed(*inputs)
    converted = convert_pt2e(observed)
    return put_int8_kernels(converted) if on_cpu else converted


def _htp_quantizer(flavour: Flavour) -> Any:
    """Qualcomm's own annotations: features 8 or 16 bits, per tensor."""
    from executorch.backends.qualcomm.quantizer.quantizer import QnnQuantizer, QuantDtype
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
    from torchao.quantization.pt2e import MinMaxObserver

    quantizer = QnnQuantizer(soc_model=getattr(QcomChipset, flavour.soc or ""))
    quantizer.set_default_quant_config(
        getattr(QuantDtype, f"use_{flavour.precision}"),
        is_conv_per_channel=True,
        is_linear_per_channel=True,
        act_observer=MinMaxObserver,
    )
    return quantizer
