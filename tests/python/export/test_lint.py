"""Every rule of the lint on the smallest module that breaks it, and on networks as they are."""

import pytest
import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.lint import arena_bytes, lint_vulkan
from mobilevd.export.stages import STAGES, Stage, Tensor, UNetStage, make_stage
from mobilevd.export.vulkan import lower_vulkan
from mobilevd.models.store import Model, load_model
from mobilevd.presets import get_preset
from torch import nn
from torch.nn import functional as F

FP32, FP16 = Flavour("vulkan", "fp32"), Flavour("vulkan", "fp16")


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def exported(module, *shapes):
    """On the meta device: nothing is computed, no tensor is too large."""
    inputs = tuple(torch.empty(shape, device="meta") for shape in shapes)
    return torch.export.export(module.to("meta").eval(), inputs, strict=False)


def attention(q, k, v):
    return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1), v)


BROKEN = {
    "batched conv2d": (nn.Conv2d(4, 4, 3), [(2, 4, 8, 8)], "conv2d", "stack_frames"),
    "5-D weight": (nn.Conv3d(4, 4, (3, 1, 1)), [(1, 4, 8, 8, 8)], "parameter", "H and W merged"),
    "5-D op": (Function(torch.sigmoid), [(1, 4, 8, 8, 8)], "sigmoid", "H and W merged"),
    "logical_not": (
        Function(F.scaled_dot_product_attention),
        [(1, 2, 8, 4)] * 3,
        "scaled_dot_product_attention",
        "chunk_spatial_attention or write_out_temporal_attention",
    ),
    "texture limit": (nn.Conv2d(4, 4, 1), [(1, 4, 2, 2049)], "conv2d", "--texture-limit"),
    "buffer over 128 MiB": (
        Function(attention),
        [(70, 2048, 64)] * 3,
        "bmm",
        "chunk_spatial_attention",
    ),
    "arena": (Function(lambda x: (x + 1) * (x - 1)), [(8, 1 << 24)], "graph", "smaller preset"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_finds_its_module(rule):
    module, shapes, op, cure = BROKEN[rule]
    report = lint_vulkan(exported(module, *shapes), FP32)
    found = [f for f in report.findings if f.rule == rule]
    assert found
    assert found[0].op == op
    assert cure in found[0].cure
    with pytest.raises(ValueError, match=rule):
        report.check()
    for line in map(str, report.findings):
        assert line.startswith(tuple(f"{known}: " for known in BROKEN))
        assert "\n" not in line


def test_a_finding_names_the_module():
    net = nn.Sequential(nn.ReLU(), nn.ModuleDict({"deep": nn.Conv2d(4, 4, 3)})["deep"])
    (finding,) = lint_vulkan(exported(net, (3, 4, 8, 8)), FP32).findings
    assert str(finding) == (
        "batched conv2d: conv2d in 1: batch of 3, Vulkan's convolution takes one; "
        "rewrites.frames.stack_frames"
    )


def test_the_same_modules_within_the_limits():
    clean = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
    report = lint_vulkan(exported(clean, (1, 4, 16, 2048)), FP32)
    report.check()
    assert report.largest_bytes == 8 * 16 * 2048 * 4
    lint_vulkan(exported(Function(attention), *[(8, 2048, 64)] * 3), FP32).check()


def test_device_class_and_precision_move_the_limits():
    wide = exported(nn.Conv2d(4, 4, 1), (1, 4, 2, 4000))
    assert lint_vulkan(wide, FP32).findings
    lint_vulkan(wide, Flavour("vulkan", "fp32", texture_limit=4096)).check()
    large = exported(Function(torch.neg), (1, 40 << 20))
    assert [f.rule for f in lint_vulkan(large, FP32).findings] == ["buffer over 128 MiB"]
    lint_vulkan(large, FP16).check()


def test_layers_of_a_texture_count_every_frame():
    net = exported(nn.GroupNorm(32, 1280), (7, 1280, 4, 8))
    (finding,) = lint_vulkan(net, Flavour("vulkan", "fp32", texture_limit=16384)).findings
    assert "2240 layers, over 2048; rewrites.frames.part_group_norms" in str(finding)
    (finding,) = lint_vulkan(exported(nn.GroupNorm(32, 2560), (1, 2560, 4, 8)), FP32).findings
    assert "weight of 2560 as a texture is 2560 wide, over 2048" in str(finding)


def test_arena_is_what_lives_at_one_time():
    def chain(x):  # 4 bytes each: x + 1 dies when its square is there
        y = (x + 1) * 2
        z = y.exp()
        return z + y

    # y, z and the sum at the end; never more than three.
    assert arena_bytes(exported(Function(chain), (100,)).graph) == 3 * 400


@torch.no_grad()
def test_mini_unrewritten_is_refused():
    """By name, and in a message that ends."""
    model = Model.fresh(get_preset("mini"))
    inputs = make_stage(model, "unet", "vulkan").example()
    program = torch.export.export(UNetStage(model.unet).eval(), inputs, strict=False)
    report = lint_vulkan(program, FP32)
    assert {f.rule for f in report.findings} == {"batched conv2d", "logical_not"}
    with pytest.raises(ValueError, match="Vulkan would not run this") as refusal:
        report.check()
    lines = str(refusal.value).splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[1] == (
        "  batched conv2d: conv2d in unet.conv_in: batch of 14, Vulkan's convolution takes one; "
        "rewrites.frames.stack_frames"
    )


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_mini_rewritten_passes(name):
    stage = make_stage(load_model("mini"), name, "vulkan")
    program = torch.export.export(stage.module, stage.example(), strict=False)
    lint_vulkan(program, FP32).check()


def test_a_stage_that_does_not_fit_leaves_no_program(tmp_path):
    stage = Stage(
        "wide", nn.Conv2d(3, 3, 1), (Tensor("x", (1, 3, 2, 3000)),), (Tensor("y", (1, 3, 2, 3000)),)
    )
    with pytest.raises(ValueError, match="3000 x 2, over 2048"):
        lower_vulkan(stage, FP16)
