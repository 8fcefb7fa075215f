"""fp16 and int8 for XNNPACK: what is stored, what is computed in fewer bits, how far it is off."""

from pathlib import Path

import pytest
import torch
from mobilevd.evaluate.programs import prepare_runtime, run_calls
from mobilevd.export.flavour import Flavour
from mobilevd.export.half import HalfStage
from mobilevd.export.lowering import lower
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
    return {
        precision: lower(stage_of(network, inputs(4)), Flavour("xnnpack", precision))
        for precision in ("fp16", "int8")
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
    assert 4 * latents < int8["float32"] < 4 * latents + 4096  # biases, scales and norms
    # What is in the file, which reports only estimate: graph and report of a program are some kB.
    kilobytes = {name: len(found.program) / 1024 for name, found in lowered.items()}
    assert kilobytes["int8"] < (weights + 3 * latents) / 1024 + 20
    assert kilobytes["fp16"] < 2 * weights / 1024 + 20


def test_delegates_are_those_of_fp32(network, lowered):
    fp32 = lower(stage_of(network), Flavour()).report
    left = {op["op"] for op in fp32.cpu_ops}
    for precision, found in lowered.items():
        assert found.report.partitions == fp32.partitions, precision
        # XNNPACK casts no halves: what comes in, what goes out, and the numbers in formulas.
        # LayerNorm of halves is ours.
        more = {"_to_dim_order_copy.out", "group_norm_silu.out"}
        assert {op["op"] for op in found.report.cpu_ops} - left <= more


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
