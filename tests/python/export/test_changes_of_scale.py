"""Temporal multiscaling between blocks, lowered: XNNPACK refuses a delegate whose input is also its
output, which an implied copy of a selected frame would be."""

import pytest
import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.lowering import lower
from mobilevd.export.stages import Stage, Tensor
from mobilevd.models.multiscale import halve_frames, repeat_frames
from mobilevd.models.resblock import Downsample, SpatialResBlock
from mobilevd.presets import get_preset
from programs import relative_error, run_program
from torch import nn

FRAMES, CHANNELS = 4, 32


class Coarse(nn.Module):
    """As in the UNet: from a downsampler to fewer frames, a block that narrows to and widens from
    them, a skip connection, and back."""

    def __init__(self, operator: str) -> None:
        super().__init__()
        self.operator = operator
        self.downsample = Downsample(CHANNELS)
        self.block = SpatialResBlock(
            CHANNELS, 2 * CHANNELS, 1e-5, get_preset("mini").unet, "down_blocks.1.resnets.0"
        )

    def forward(self, x, time):
        x = halve_frames(self.downsample(x), 2, self.operator)
        return repeat_frames(torch.cat([x, self.block(x, time, FRAMES // 2)], 1), 2)


@pytest.mark.parametrize("operator", ["frame_selection", "mean"])
@torch.no_grad()
def test_is_lowered_and_equals_eager(operator):
    torch.manual_seed(0)
    module = Coarse(operator).eval()
    shapes = {"x": (FRAMES, CHANNELS, 8, 8), "time": (1, module.block.time_emb_proj.in_features)}
    inputs = tuple(Tensor(name, shape) for name, shape in shapes.items())
    output = Tensor("y", (FRAMES, 3 * CHANNELS, 4, 4))
    stage = Stage("toy", module, inputs, (output,))
    example = stage.example(seed=1)
    (got,) = run_program(lower(stage, Flavour()).program, example)
    assert got.shape == output.shape
    assert relative_error(got, module(*example)) < 1e-5
