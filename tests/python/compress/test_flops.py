"""The paper's tables and every full-size preset, counted on the meta device."""

import pytest
import torch
from mobilevd import kernels
from mobilevd.compress import paper_tables
from mobilevd.compress.flops import cost, count, count_by_module
from mobilevd.compress.live_memory import PeakElements
from mobilevd.export.rewrites import fuse_temporal_attention
from mobilevd.kernels import pack_temporal_attention_block
from mobilevd.models import create_unet
from mobilevd.models.plan import fitted_temporal_blocks, temporal_blocks, with_temporal_blocks
from mobilevd.presets import PRESETS, get_preset
from small_unets import CONFIG
from torch.utils.flop_counter import FlopCounterMode


@pytest.mark.parametrize("row", paper_tables.ROWS, ids=lambda r: f"{r.table}: {r.name}")
def test_the_papers_tables(row):
    (got,) = (r for r in paper_tables.count_tables([row.table]) if r["name"] == row.name)
    assert got["tflops"] == pytest.approx(row.paper_tflops, rel=paper_tables.TOLERANCE[row.table])
    assert got["weights_mb_fp16"] == pytest.approx(got["params"] * 2e-6)
    assert got["peak_activation_mb_fp32"] == 2 * got["peak_activation_mb_fp16"] > 0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_at_full_size(name):
    preset = get_preset(name)
    got = count(preset)
    if got["paper_tflops"]:
        assert got["tflops"] == pytest.approx(got["paper_tflops"], rel=0.03)
    parts = count_by_module(preset)
    assert sum(p["tflops"] for p in parts) == pytest.approx(got["tflops"], rel=1e-9)
    assert sum(p["params"] for p in parts) == got["params"]
    assert got["fitted"] == name.startswith("mobilevd")
    assert got["weights_mb_fp32"] == pytest.approx(4e-6 * got["params"])
    if name.startswith("mobilevd"):
        assert preset.sampling.evaluations == 1
        assert preset.unet.collapsed_cross_attention
        for _, qk, v in preset.unet.attention_widths:
            assert qk % 8 == v % 8 == 0  # what the kernels take


def test_parameters_are_svds():
    """Counts of diffusers' own UNet: all, what the collapse saves, the 38 temporal blocks."""
    whole = cost(paper_tables.SVD, paper_tables.LOW).params
    assert whole == 1_524_623_082
    collapsed = cost(paper_tables.COLLAPSED, paper_tables.LOW).params
    assert whole - collapsed == pytest.approx(50.3e6, rel=0.01)
    spatial_only = with_temporal_blocks(paper_tables.SVD, [])
    assert whole - cost(spatial_only, paper_tables.LOW).params == pytest.approx(656.1e6, rel=1e-3)


def test_xs_goes_beyond_the_paper():
    xs, whole = get_preset("mobilevd-xs"), get_preset("mobilevd-512x256")
    assert count(xs)["tflops"] <= 2.2
    assert count(xs)["params"] < count(whole)["params"]
    assert set(xs.unet.temporal_blocks) < set(whole.unet.temporal_blocks)


def test_the_fitted_blocks_are_the_costliest():
    parts = cost(paper_tables.TEMPORAL, paper_tables.LOW).by_module
    flops = {
        block: sum(f for path, (f, _) in parts.items() if path.startswith(block))
        for block in temporal_blocks(paper_tables.TEMPORAL)
    }
    kept = fitted_temporal_blocks(paper_tables.TEMPORAL, 12)
    assert min(flops[k] for k in kept) >= max(f for k, f in flops.items() if k not in kept)


def test_our_operator_has_a_formula():
    """The fused temporal attention counts as much as the one written out in torch."""
    inputs = [(1, 4, 8, 16, 16), (1, 32), (1, 1, 24), (1, 48)]

    def flops(unet):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            unet.forward_sinusoids(*(torch.empty(s, device="meta") for s in inputs))
        return counter.get_total_flops()

    with torch.device("meta"):
        unet = create_unet(CONFIG)
    plain = flops(unet)
    fuse_temporal_attention(unet)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        q = torch.empty(2, 3, 5, 16, device="meta")
        v = torch.empty(2, 3, 5, 32, device="meta")
        torch.ops.mobilevd.temporal_attention(q, q, v, 2, 1.0)
    assert counter.get_total_flops() == 2 * (2 * 5 * 3 * 3 * 16 + 2 * 5 * 3 * 3 * 32)
    assert flops(unet) == plain


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_packed_temporal_block_counts_its_projections_and_attention(precision):
    heads, d_qk, d_v, channels = 3, 8, 24, 20
    to_q, to_v = torch.zeros(heads * d_qk, channels), torch.zeros(heads * d_v, channels)
    vector = torch.zeros(channels)
    packed = pack_temporal_attention_block(
        vector, vector, to_q, to_q, to_v, to_v.mT.contiguous(), vector, heads, precision
    )
    x = torch.zeros(2, 7, 5, channels)
    with FlopCounterMode(display=False) as counter:
        torch.ops.mobilevd.temporal_attention_block(x, *packed, heads)
    rows = 2 * 7 * 5
    products = 2 * rows * channels * heads * (2 * d_qk + 2 * d_v)
    assert counter.get_total_flops() == products + 2 * rows * 7 * heads * (d_qk + d_v)


@pytest.mark.parametrize(
    ("name", "int8_name", "weight", "more"),
    [
        ("conv2d_3x3", "conv2d_3x3_int8", (24, 20, 3, 3), {"scale": 0.1, "zero_point": 0}),
        ("temporal_conv", "temporal_conv_int8", (24, 20, 3), {"scale": 0.1, "zero_point": 0}),
        ("linear", "gemm_int8", (24, 20), {}),
    ],
)
def test_int8_counts_as_float(name, int8_name, weight, more):
    """By the definition: channels that packing adds, 20 to 24 and 24 to 32, are none."""
    x, weights = torch.zeros(2, 5, 7, 20), torch.zeros(weight)
    if name == "linear":
        packed, int8 = kernels.pack_linear_weight(weights), kernels.pack_gemm_int8(weights)
    else:
        packed, int8 = kernels.pack_conv_weight(weights), kernels.pack_conv_int8(weights)
    with FlopCounterMode(display=False) as floats:
        getattr(kernels.torch_ops, name)(x, packed, 24)
    with FlopCounterMode(display=False) as integers:
        getattr(kernels.torch_ops, int8_name)(x, *int8, 24, **more)
    products = 2 * 5 * 7 * weights.numel()
    assert integers.get_total_flops() == floats.get_total_flops() == 2 * products


def test_group_norm_counts_nothing_fused_or_not():
    x = torch.empty(2, 8, 5, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        torch.nn.functional.silu(torch.nn.functional.group_norm(x, 4))
        torch.ops.mobilevd.group_norm_silu(x, None, None, 4, 1e-5)
    assert counter.get_total_flops() == 0


def test_peak_of_live_tensors():
    with torch.device("meta"), torch.no_grad():
        weight = torch.empty(10, 10)
        with PeakElements([weight]) as memory:
            x = torch.empty(10, 10)
            y = x @ weight.t()  # x and y: 200; the weight and its view are known
            del x
            z = y.view(5, 20).add(1.0)  # y and z
            del y
            w = torch.cat([z, z])  # z and w: 300
            del z, w
        assert memory.peak == 300
        assert memory.live == 0
