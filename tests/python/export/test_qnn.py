"""Small networks lowered for HTP and executed in QNN's emulator, in this process."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.lowering import lower
from mobilevd.export.qnn import execute
from mobilevd.export.rewrites import prepare
from mobilevd.export.stages import Stage, Tensor
from mobilevd.models import create_unet
from programs import relative_error
from small_networks import UNET_CONFIG
from torch import nn

FRAMES = 2


class Block(nn.Module):
    """A ResBlock or a transformer of a UNet that was prepared for QNN."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return self.block(x, other, FRAMES)


# Each kind of block, and each kind of arithmetic, once.
FAST = {("resblock", "fp16"), ("transformer", "16a8w")}


@pytest.fixture(scope="module")
def blocks() -> dict[str, Stage]:
    torch.manual_seed(0)
    # 64 channels: with 32, one a group, and under 8 rows, HTP (2.47) normalises wrongly in 16a8w.
    config = replace(UNET_CONFIG, num_frames=FRAMES)
    unet = prepare(create_unet(config), "qnn").mid_block
    x, y = Tensor("x", (FRAMES, 64, 8, 8)), Tensor("y", (FRAMES, 64, 8, 8))
    time, token = Tensor("time", (1, 128)), Tensor("token", (1, 1, 24))
    return {
        "resblock": Stage("resblock", Block(unet.resnets[0]).eval(), (x, time), (y,)),
        "transformer": Stage("transformer", Block(unet.attentions[0]).eval(), (x, token), (y,)),
    }


CASES = [
    pytest.param(
        name, precision, error, marks=[] if (name, precision) in FAST else pytest.mark.slow
    )
    for name in ("resblock", "transformer")
    for precision, error in (("fp16", 2e-3), ("16a8w", 1e-2), ("8a8w", 5e-2))
]


@pytest.mark.parametrize(("name", "precision", "error"), CASES)
@torch.no_grad()
def test_a_block_is_one_context_binary_and_runs(blocks, name, precision, error):
    stage = blocks[name]
    stage.calibration = [stage.example(seed) for seed in range(4)]  # what is run among them
    lowered = lower(stage, Flavour("qnn", precision, soc="SM8650"))
    assert lowered.report.partitions == 1
    assert lowered.report.cpu_ops == []
    (got,) = execute(lowered.program, stage.example())
    assert relative_error(got, stage.module(*stage.example())) < error
