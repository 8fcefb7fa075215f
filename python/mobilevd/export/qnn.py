"""Lowering a stage to ExecuTorch for Qualcomm's HTP: one context binary, nothing on the CPU."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import torch
from torch import nn

from .flavour import Flavour
from .native_output import native_output
from .qnn_sdk import activate
from .quantize import quantized
from .report import StageReport, report_stage
from .stages import Stage


def lower_qnn(stage: Stage, flavour: Flavour) -> tuple[bytes, StageReport]:
    """fp16, or 8a8w / 16a8w: integer features (8 or 16 bits) and 8-bit weights, calibrated on
    ``stage.calibration``. Inputs and outputs are float32 in every precision.

    RuntimeError with QNN's own last words when it refuses the graph.
    """
    activate()
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
    from executorch.backends.qualcomm.utils.utils import (
        generate_htp_compiler_spec,
        generate_qnn_executorch_compiler_spec,
        to_edge_transform_and_lower_to_qnn,
    )

    inputs = stage.example()
    specs = generate_qnn_executorch_compiler_spec(
        soc_model=getattr(QcomChipset, flavour.soc or ""),
        backend_options=generate_htp_compiler_spec(use_fp16=flavour.precision == "fp16"),
    )
    for name in ("qnn_preprocess", "partition.qnn_partitioner"):  # a line for every op
        logging.getLogger(f"executorch.backends.qualcomm.{name}").setLevel(logging.ERROR)
    with native_output() as said:
        module: nn.Module = quantized(stage, flavour) if flavour.quantized else stage.module
        try:
            edge = to_edge_transform_and_lower_to_qnn(module, inputs, specs)
            graph = edge.exported_program().graph_module
            program = edge.to_executorch()
        except (RuntimeError, AssertionError) as error:
            raise RuntimeError(
                f"QNN did not lower '{stage.name}' for {flavour.soc} {flavour.precision}: "
                f"{error or 'no reason given'}{_last_errors(said)}"
            ) from error
    return program.buffer, report_stage(stage, graph, program.executorch_program)


def execute(program: bytes | Path, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Runs a program here: HTP's part in QNN's emulator, which is slow and says nothing of a
    phone's speed. RuntimeError with QNN's own last words."""
    activate()
    from executorch.runtime import Runtime

    with native_output() as said:
        try:
            method = Runtime.get().load_program(program).load_method("forward")
            # They lie in the program's memory, which goes with it.
            outputs = [output.clone() for output in method.execute(list(inputs))]
        except RuntimeError as error:
            raise RuntimeError(f"QNN's emulator: {error}{_last_errors(said)}") from error
        del method  # while what it prints is taken
    return outputs


def _last_errors(said: IO[bytes]) -> str:
    said.seek(0)
    lines = re.findall(r"\[ERROR\].*?\]:? *(.*)", said.read().decode(errors="replace"))
    return "".join(f"; {line}" for line in lines[-3:])


def socs() -> tuple[str, ...]:
    """Qualcomm's names of the chips that ExecuTorch knows."""
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset

    return tuple(chip.name for chip in QcomChipset if chip.value)
