"""fp16 and int8 for XNNPACK: what is stored, what is computed in fewer bits, how far it is off."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from mobilevd.evaluate.programs import prepare_runtime, run_calls
from mobilevd.export.flavour import Flavour
from mobilevd.export.half import HalfStage
from mobilevd.export.lowering import lower
from mobilevd.export.quantize import quantized
from mobilevd.export.rewrites.channels_last.layers import (
    Convolution,
    Norm,
    UpsampledConvolution,
)
from mobilevd.export.stages import Stage, Tensor
from programs import relative_error
from torch import nn
from torch.nn import functional as F

CPUINFO = Path("/proc/cpuinfo")


class Network(nn.Module):
    """A layer of each kind that the stages have; x [2, 8, 8, 8] -> [2, 4, 16, 16]."""

    def __init__(self):
        super().__init__()
        self.conv_in = nn.Conv2d(8, 32, 3, padding=1)
        self.norm = nn.GroupNorm(32, 32)
        self.conv = nn.Conv2d(32, 32, 3, padding=1)
        self.conv_relu = nn.Conv2d(32, 32, 3, padding=1)
        self.layer_norm = nn.LayerNorm(32)
        self.linear_1, self.linear_2 = nn.Linear(32, 64), nn.Linear(64, 32)
        self.conv_out = nn.Conv2d(32, 4, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        x = x + self.conv(F.silu(self.norm(x)))
        x = torch.relu(x + F.relu(self.conv_relu(x)))
        n, c, h, w = x.shape
        y = x.reshape(1, n, c, h * w).transpose(2, 3).contiguous()
        y = y + self.linear_2(F.gelu(self.linear_1(self.layer_norm(y))))
        y = torch.ops.mobilevd.temporal_attention(y, y, y, 1, 0.2)
        x = y.transpose(2, 3).contiguous().view(n, c, h, w)
        return self.conv_out(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class OnOurKernels(nn.Module):
    """The same as the stages of the CPU have it; the first convolution as the image encoder's."""

    def __init__(self, of):
        super().__init__()
        for name in ("conv_in", "layer_norm", "linear_1", "linear_2"):
            setattr(self, name, getattr(of, name))
        self.norm = Norm(of.norm, silu=True)
        self.conv = Convolution(of.conv)
        self.conv_relu = Convolution(of.conv_relu, activation="relu")
        self.conv_out = UpsampledConvolution(of.conv_out, 2)

    def forward(self, x):
        x = self.conv_in(x).permute(0, 2, 3, 1).contiguous()
        x = self.conv(self.norm(x), residual=x)
        x = torch.relu(x + self.conv_relu(x))
        n, h, w, c = x.shape
        y = x.view(1, n, h * w, c)
        y = y + self.linear_2(F.gelu(self.linear_1(self.layer_norm(y))))
        y = torch.ops.mobilevd.temporal_attention(y, y, y, 1, 0.2)
        return self.conv_out(y.view(n, h, w, c)).permute(0, 3, 1, 2).contiguous()


def inputs(count):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(2, 8, 8, 8, generator=generator),) for _ in range(count)]


@pytest.fixture(scope="module")
def network():
    from mobilevd.kernels import torch_ops  # noqa: F401  (registers the op)

    torch.manual_seed(0)
    prepare_runtime("xnnpack")
    return Network().eval().requires_grad_(False)


def stage_of(network, calibration=()):
    shapes = Tensor("x", (2, 8, 8, 8)), Tensor("y", (2, 4, 16, 16))
    return Stage("small", network, (shapes[0],), (shapes[1],), calibration=list(calibration))


@pytest.fixture(scope="module")
def lowered(network):
    int8 = stage_of(OnOurKernels(network), inputs(4))
    return {
        "fp16": lower(stage_of(network), Flavour("xnnpack", "fp16")),
        "int8": lower(int8, Flavour("xnnpack", "int8")),
    }


# There XNNPACK adds up in halves: 3.3e-3 was seen.
ADDS_HALVES = CPUINFO.is_file() and "avx512_fp16" in CPUINFO.read_text()
FP16_LIMIT = 6e-3 if ADDS_HALVES else 2e-3


@pytest.mark.parametrize(("precision", "limit"), [("fp16", FP16_LIMIT), ("int8", 3e-2)])
@torch.no_grad()
def test_results_are_near(network, lowered, precision, limit):
    calls = inputs(6)[4:]  # not those of the calibration
    for got, call in zip(run_calls(lowered[precision].program, calls), calls, strict=True):
        assert got.dtype == torch.float32
        error = relative_error(got, network(*call))
        assert 1e-5 < error < limit, error


def test_what_is_stored(network, lowered):
    parameters = sum(p.numel() for p in network.parameters())
    assert lowered["fp16"].report.weights_by_dtype["float16"] == 2 * parameters
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = sum(layer.weight.numel() for layer in layers)
    latents = network.conv_out.weight.numel()
    int8 = lowered["int8"].report.weights_by_dtype
    assert int8["int8"] == weights - latents
    assert int8["float16"] == 2 * 4 * latents  # 4 of 16 columns
    assert int8["float32"] < 4096  # biases, scales and norms
    # What is in the file, which reports only estimate: graph and report of a program are some kB.
    kilobytes = {name: len(found.program) / 1024 for name, found in lowered.items()}
    assert kilobytes["int8"] < (weights + 7 * latents) / 1024 + 20
    assert kilobytes["fp16"] < 2 * weights / 1024 + 20


def test_what_stays_on_the_cpu(network, lowered):
    """XNNPACK casts no halves: what comes in, what goes out, and the numbers in formulas. LayerNorm
    of halves is ours, and of int8 whatever has weights but the first convolution."""
    fp32 = lower(stage_of(network), Flavour()).report
    left = {op["op"] for op in fp32.cpu_ops}
    found = {name: lowering.report for name, lowering in lowered.items()}
    assert found["fp16"].partitions == fp32.partitions
    more = {op["op"] for op in found["fp16"].cpu_ops} - left
    assert more == {"_to_dim_order_copy.out", "group_norm_silu.out"}
    calls = Counter({op["op"]: 0 for op in found["int8"].cpu_ops})
    for op in found["int8"].cpu_ops:
        calls[op["op"]] += op["count"]
    of_ours = {name: count for name, count in calls.items() if "_int8" in name or "conv" in name}
    assert of_ours == {"conv2d_3x3_int8.out": 2, "gemm_int8.out": 2, "conv2d_3x3.out": 1}


def test_a_residual_is_not_rounded_though_it_is_what_the_convolution_reads():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = Convolution(nn.Conv2d(16, 16, 3, padding=1))

        def forward(self, x):
            return self.conv(x, residual=x)

    network = Beside().requires_grad_(False)
    with torch.no_grad():
        network.conv.weight.zero_()
    x = torch.randn(1, 4, 4, 16, generator=torch.Generator().manual_seed(0))
    shape = Tensor("x", (1, 4, 4, 16))
    stage = Stage("beside", network, (shape,), (shape,), calibration=[(x,)])
    made = quantized(stage, Flavour("xnnpack", "int8"))
    torch.testing.assert_close(made(x), network(x), rtol=0, atol=1e-6)
    assert not any("dequantize" in str(node.target) for node in made.graph.nodes)
    assert {name for name, _ in made.named_parameters()} == {"conv.bias"}


def test_linear_layers_take_features_in_any_order():
    """The kernel wants them contiguous."""

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 5)

        def forward(self, x):
            return self.linear(x.transpose(1, 2))

    network = Turned().requires_grad_(False)
    x = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0))
    shapes = Tensor("x", (1, 6, 4)), Tensor("y", (1, 4, 5))
    stage = Stage("turned", network, (shapes[0],), (shapes[1],), calibration=[(x,)])
    program = lower(stage, Flavour("xnnpack", "int8")).program
    prepare_runtime("xnnpack")
    assert relative_error(run_calls(program, [(x,)])[0], network(x)) < 2e-2


@torch.no_grad()
def test_layer_norm_of_halves_adds_up_in_float32():
    """ViT-H's width, where sums in halves are off by more than a half."""
    norm = nn.LayerNorm(1280).requires_grad_(False)
    generator = torch.Generator().manual_seed(2)
    norm.weight.normal_(generator=generator)
    norm.bias.normal_(generator=generator)
    x = 3 + torch.randn(1, 7, 1280, generator=generator)
    shape = Tensor("x", (1, 7, 1280))
    program = lower(Stage("norm", norm, (shape,), (shape,)), Flavour("xnnpack", "fp16")).program
    prepare_runtime("xnnpack")
    assert relative_error(run_calls(program, [(x,)])[0], norm(x)) < 2e-3


@torch.no_grad()
def test_gelu_of_halves_is_gelu_at_every_size():
    x = torch.tensor([-60000.0, -300, -10, -1, -1e-3, 0, 1e-3, 1, 10, 300, 60000])[:, None]
    gelu = nn.Sequential(nn.Linear(1, 1, bias=False), nn.GELU())
    gelu[0].weight.fill_(1)
    torch.testing.assert_close(HalfStage(gelu)(x), F.gelu(x), rtol=2e-3, atol=1e-3)


def test_int8_needs_inputs_to_calibrate_on(network):
    with pytest.raises(ValueError, match="int8 needs inputs of 'small' to calibrate on"):
        lower(stage_of(network), Flavour("xnnpack", "int8"))


def test_a_weight_beyond_fp16_is_named():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"0\.weight has values that fp16 cannot hold"):
        HalfStage(nn.Sequential(layer))
    assert layer.weight.dtype == torch.float32
