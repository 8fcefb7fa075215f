"""Small networks lowered for HTP and executed in QNN's emulator, in this process."""

from __future__ import annotations

import pytest
import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.lowering import lower
from mobilevd.export.stages import Stage, Tensor
from programs import relative_error, run_program
from torch import nn
from torch.nn import functional as F


class ConvNormSilu(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(32, 64, 3, padding=1)
        self.norm = nn.GroupNorm(32, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(self.norm(self.conv(x)))


@pytest.mark.parametrize(("precision", "error"), [("fp16", 2e-3)])
@torch.no_grad()
def test_a_block_is_one_context_binary_and_runs(precision, error):
    torch.manual_seed(0)
    stage = Stage(
        "block",
        ConvNormSilu().eval(),
        (Tensor("x", (2, 32, 16, 16)),),
        (Tensor("y", (2, 64, 16, 16)),),
    )
    lowered = lower(stage, Flavour("qnn", precision, soc="SM8650"))
    assert lowered.report.partitions == 1
    assert lowered.report.cpu_ops == []
    (got,) = run_program(lowered.program, stage.example())
    assert relative_error(got, stage.module(*stage.example())) < error
