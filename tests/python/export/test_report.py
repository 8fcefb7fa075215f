"""The figures of a lowered stage, on modules small enough to count by hand."""

import logging

import pytest
import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.lowering import lower, quiet_exporter
from mobilevd.export.report import explaining, refusals, report_stage
from mobilevd.export.stages import Stage, Tensor
from mobilevd.kernels import torch_ops  # noqa: F401
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

FRAMES, POSITIONS, CHANNELS = 4, 6, 16
SHAPE = (1, FRAMES, POSITIONS, CHANNELS)
TENSOR_BYTES = 4 * FRAMES * POSITIONS * CHANNELS


class Mixed(nn.Module):
    """Delegate, our op, delegate, LayerNorm read twice, delegate; one Linear is used twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(CHANNELS, CHANNELS)
        self.norm = nn.LayerNorm(CHANNELS)
        self.conv = nn.Conv2d(FRAMES, FRAMES, 3, padding=1)

    def forward(self, x):
        y = self.first(x)
        y = torch.ops.mobilevd.temporal_attention(y, y, y, 1)
        y = self.norm(self.first(y))
        q = y.reshape(FRAMES, POSITIONS, CHANNELS)
        scores = torch.bmm(torch.softmax(torch.bmm(q, q.transpose(1, 2)), -1), q)
        return self.conv(y) + scores.reshape(SHAPE)


def stage_of(module, *shapes, out=SHAPE):
    inputs = tuple(Tensor(f"x{i}", shape) for i, shape in enumerate(shapes))
    return Stage("toy", module.eval(), inputs, (Tensor("y", out),))


@pytest.fixture(scope="module")
def mixed():
    torch.manual_seed(0)
    stage = stage_of(Mixed(), SHAPE)
    return stage, lower(stage, Flavour()).report


@torch.no_grad()
def test_flops_add_up_to_what_eager_counts(mixed):
    stage, report = mixed
    with FlopCounterMode(display=False) as counter:
        stage.module(*stage.example())
    assert report.delegated_flops + report.cpu_flops == counter.get_total_flops()
    linear = 2 * FRAMES * POSITIONS * CHANNELS * CHANNELS
    conv = 2 * FRAMES * POSITIONS * CHANNELS * FRAMES * 9
    bmm = 2 * FRAMES * POSITIONS * POSITIONS * CHANNELS
    assert report.delegated_flops == 2 * linear + conv + 2 * bmm
    assert report.cpu_flops == 2 * POSITIONS * FRAMES**2 * 2 * CHANNELS  # temporal attention
    (ours,) = (op for op in report.cpu_ops if op["op"] == "temporal_attention.out")
    assert ours["flops"] == report.cpu_flops
    share = report.to_dict()["delegated_share_flops"]
    assert share == pytest.approx(report.delegated_flops / counter.get_total_flops(), abs=1e-4)


def test_each_tensor_crosses_each_border_once(mixed):
    _, report = mixed
    assert report.partitions == 3
    crossings = {(c["op"], c["from"], c["to"]): c["bytes"] for c in report.crossings}
    assert crossings == {
        ("aten.linear.default", "delegate 0", "cpu"): TENSOR_BYTES,  # read as q, k and v
        ("temporal_attention.out", "cpu", "delegate 1"): TENSOR_BYTES,
        ("aten.linear.default", "delegate 1", "cpu"): TENSOR_BYTES,
        ("native_layer_norm.out", "cpu", "delegate 2"): TENSOR_BYTES,  # read by conv and bmm
    }
    assert report.border_bytes == 4 * TENSOR_BYTES
    assert report.border_tensors == 4
    assert report.crossings[0]["shape"] == list(SHAPE)


def test_a_weight_that_two_delegates_share_counts_once(mixed):
    stage, report = mixed
    expected = sum(p.numel() * 4 for p in stage.module.parameters())
    assert report.weights_by_dtype == {"float32": expected}
    assert report.weight_bytes == expected


def lowered_by(module, shape, partitioner):
    """As ``lower`` does, without a flavour of ours and without asking why."""
    from executorch.exir import to_edge_transform_and_lower

    stage = stage_of(module, shape, out=shape)
    with quiet_exporter():
        edge = to_edge_transform_and_lower(
            torch.export.export(module, stage.example()), partitioner=[partitioner]
        )
        graph, program = edge.exported_program().graph_module, edge.to_executorch()
    return report_stage(stage, graph, program.executorch_program), program.buffer


@pytest.mark.parametrize(("halved", "stored"), [(True, "float16"), (False, "float32")])
def test_weights_as_vulkan_stores_them(halved, stored):
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    wide = nn.Linear(64, 64).eval()
    report, program = lowered_by(wide, (2, 64), VulkanPartitioner({"force_fp16": halved}))
    size = (64 * 64 + 64) * (2 if halved else 4)
    assert report.weights_by_dtype == {stored: size}
    assert (
        size < report.delegates[0]["bytes"] < 1.3 * size + 2000
    )  # it is so in the delegate's data
    assert len(program) > size


def test_nobody_asked_the_partitioner():
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    module = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)).eval()
    report, _ = lowered_by(module, (2, 8), XnnpackPartitioner())
    assert {op["reason"] for op in report.cpu_ops} == {
        "not taken by the partitioner, or put there after it"
    }
    assert report.weight_bytes == 4 * (64 + 8 + 16)


def test_reasons_are_the_partitioners_own():
    class Refused(nn.Module):
        def forward(self, x):
            y = F.layer_norm(x * 2.0, x.shape[-1:])
            return (y * 2.0) + torch.cumsum(x, 1) + (x.to(torch.int32) + 1).float()

    levels = {name: logging.getLogger(name).level for name in list(logging.root.manager.loggerDict)}
    report = lower(stage_of(Refused(), (2, 8), out=(2, 8)), Flavour()).report
    reasons = {op["op"]: op["reason"] for op in report.cpu_ops}
    assert reasons["native_layer_norm.out"] == "XNNPACK has no native_layer_norm"
    assert reasons["cumsum.out"] == "XNNPACK has no cumsum"
    assert reasons["add.out"] == "XNNPACK refuses it: invalid dtype"
    after = {name: logging.getLogger(name).level for name in levels}
    changed = {n for n in levels if levels[n] != after[n] and "xnnpack.partition" in n}
    assert not changed, "the loggers are as they were"


def test_our_kernel_and_module_paths(mixed):
    _, report = mixed
    ops = {op["op"]: op for op in report.cpu_ops}
    assert ops["temporal_attention.out"]["reason"] == "our fused kernel"
    assert ops["native_layer_norm.out"]["module"] == "norm"
    assert ops["native_layer_norm.out"]["count"] == 1


class OnVulkan(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return torch.cumsum(self.conv(x), 1)


def test_vulkan_says_why():
    """The partitioner alone: what it says does not depend on what is then compiled."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner
    from executorch.exir import to_edge

    with quiet_exporter():
        exported = torch.export.export(OnVulkan().eval(), (torch.randn(2, 4, 8, 8),))
        program = to_edge(exported).exported_program()
        with explaining():
            VulkanPartitioner({})(program)
    reasons = {
        refusals.plain_name(node): node.meta.get(refusals.KEY)
        for node in program.graph.nodes
        if node.op == "call_function"
    }
    assert reasons == {
        "convolution": "Vulkan refuses it: op args not supported",  # batch 2
        "cumsum": "Vulkan has no cumsum",
    }
    assert VulkanPartitioner.__call__.__module__.startswith("executorch.")  # as it was


def test_qnn_says_why(monkeypatch):
    """Its list of builders; QNN's own check needs an SDK and is not asked again."""
    monkeypatch.setenv("QNN_SDK_ROOT", "/nonexistent")  # ExecuTorch would download one
    from executorch.exir import EdgeCompileConfig, to_edge

    class Refused(nn.Module):
        def forward(self, x):
            return torch.erfinv(torch.relu(x))

    with quiet_exporter():
        exported = torch.export.export(Refused(), (torch.randn(2, 8),))
        config = EdgeCompileConfig(_check_ir_validity=False)
        program = to_edge(exported, compile_config=config).exported_program()
        reason = refusals.EXPLAINERS["QnnBackend"](None, program)
        reasons = {
            refusals.plain_name(n): reason(n)
            for n in program.graph.nodes
            if n.op == "call_function"
        }
    assert reasons["erfinv"] == "ExecuTorch's QNN backend has no erfinv"
    assert reasons["relu"].startswith("QNN's own check of the op refuses it")


@pytest.mark.parametrize("name", ["image_encoder", "vae_encoder", "unet", "vae_decoder"])
def test_mini_adds_up_to_mobilevd_flops(mini_bundle, name):
    """Delegates and CPU together are what ``mobilevd flops`` counts, less what export folds."""
    from dataclasses import replace

    from mobilevd.compress.flops import cost
    from mobilevd.export.manifest import read_bundle
    from mobilevd.export.stages import make_stage
    from mobilevd.models.store import load_model

    model = load_model("mini")
    preset = model.preset
    manifest = read_bundle(mini_bundle)
    stage = manifest["stages"][name]
    counted = stage["delegated_flops"] + stage["cpu_flops"]
    if name == "unet":
        figures = cost(replace(preset.unet, collapsed_cross_attention=True), preset.latent_size)
        constant = sum(f for path, (f, _) in figures.by_module.items() if "time_pos_embed" in path)
        assert constant > 0
        assert counted == figures.flops - constant
        assert stage["cpu_flops"] > 0  # the fused kernel's
    else:
        made = make_stage(model, name, "xnnpack")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            made.module.to("meta")(*(torch.empty(i.shape, device="meta") for i in made.inputs))
        assert counted == counter.get_total_flops()
    # fp32 is stored as it is: the weights are the files, but for names and code.
    size = sum(manifest["files"][file]["bytes"] for file in [stage["program"], *stage["weights"]])
    assert 0.95 * size < stage["weight_bytes"] < size
