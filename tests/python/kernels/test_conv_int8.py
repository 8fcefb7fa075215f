"""conv2d_3x3_int8 and temporal_conv_int8 against float64, as torch and as ExecuTorch operators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from int8_reference import changed, half, quantised_weight, random  # noqa: E402
from mobilevd import kernels  # noqa: E402
from mobilevd.kernels import torch_ops  # noqa: E402
from programs import run_as_program  # noqa: E402
from torch.nn import functional as F  # noqa: E402

FILTERS = {"conv2d_3x3_int8": (3, 3), "temporal_conv_int8": (3, 1, 1)}
ACTIVATIONS = {None: lambda y: y, "silu": F.silu, "relu": F.relu}
RANGE = {"scale": 0.024, "zero_point": -12}


def float64(x, weight, scale, zero_point, bias, residual, activation, stride):
    """The definition by torch in float64, and how far float32 may be from it: a share of the
    largest sums there are, with those of the zero points, and of what is added."""
    factor = np.float64(np.float32(1) / np.float32(scale))
    q = np.rint((x * factor + zero_point).astype(np.float32)).clip(-128, 127) - zero_point
    w, scales = quantised_weight(weight)
    step = np.float64(np.float32(scale)) * scales
    q, by = torch.from_numpy(q).double().movedim(3, 1), torch.from_numpy(w)
    if by.dim() == 4:
        sums = F.conv2d(q, by, padding=1, stride=stride)
    else:
        sums = F.conv2d(q, by.squeeze(4), padding=(1, 0))
    out = step * sums.movedim(1, 3).numpy()
    terms = 256 * step * np.abs(w).reshape(len(w), -1).sum(axis=1) + np.abs(out)
    for term in (bias, residual):
        if term is not None:
            out, terms = out + term, terms + np.abs(term)
    return ACTIVATIONS[activation](torch.from_numpy(out)).numpy(), 4e-7 * terms


@settings(max_examples=150, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    name_stride=st.sampled_from([("conv2d_3x3_int8", 1), ("conv2d_3x3_int8", 2), (None, 1)]),
    size=st.tuples(st.integers(0, 3), st.integers(1, 11), st.integers(1, 11)),
    channels=st.tuples(st.integers(1, 80), st.integers(1, 70)),
    scale=st.sampled_from([0.024, 2**-5, 1e-3, 300.0]),
    zero_point=st.integers(-128, 127),
    extras=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    activation=st.sampled_from(list(ACTIVATIONS)),
    array=st.sampled_from([np.asarray, torch.from_numpy]),
    threads=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_equals_float64(
    isa, name_stride, size, channels, scale, zero_point, extras, activation, array, threads, seed
):
    name, stride = name_stride[0] or "temporal_conv_int8", name_stride[1]
    (cin, cout), (with_bias, with_residual, given_out) = channels, extras
    shape = (size[0], -(-size[1] // stride), -(-size[2] // stride), cout)
    x = random((*size, cin), seed, 50 * scale, -scale * zero_point)  # most of it in the range
    weight = random((cout, cin, *FILTERS[name]), seed + 1)
    bias = random((cout,), seed + 2) if with_bias else None
    residual = random(shape, seed + 3) if with_residual else None
    into = array(np.full(shape, np.nan, np.float32)) if given_out else None
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    packed = kernels.pack_conv_int8(array(weight))
    added = [None if a is None else array(a) for a in (bias, residual)]
    options = {"out": into} if name == "temporal_conv_int8" else {"out": into, "stride": stride}
    call = getattr(kernels, name)
    out = call(array(x), *packed, cout, scale, zero_point, *added, activation, **options)
    assert out is into or not given_out
    assert isinstance(out, type(array(x)))
    out = np.asarray(out)
    assert out.shape == shape
    assert out.dtype == np.float32
    expected, bound = float64(x, weight, scale, zero_point, bias, residual, activation, stride)
    assert np.all(np.abs(out - expected) <= bound), np.max(np.abs(out - expected) - bound)


@pytest.mark.parametrize("zero_point", [-128, -3, 0, 127])
def test_features_round_to_even_and_saturate(isa, zero_point):
    """One channel, weighed by 127 steps of 1: out tells q. NaN becomes a number."""
    far = [1e30, -1e30, np.inf, -np.inf]
    x = np.array([*(np.arange(-300, 300) / 4), *far, np.nan], np.float32).reshape(1, 1, -1, 1)
    weight = np.array([[[0, 127, 0]]], np.float32)
    out = kernels.temporal_conv_int8(x, *kernels.pack_conv_int8(weight), 1, 0.5, zero_point)
    q = (out / (0.5 * 127) + zero_point).ravel()
    np.testing.assert_array_equal(q[:-1], np.rint(x.ravel()[:-1] * 2 + zero_point).clip(-128, 127))
    assert -128 <= q[-1] <= 127


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    filters=st.sampled_from([(3, 3), (3,), (3, 1, 1)]),
    array=st.sampled_from([np.asarray, torch.from_numpy]),
    seed=st.integers(0, 1000),
)
def test_packing_is_as_documented(channels, filters, array, seed):
    cout, cin = channels
    weight = random((cout, cin, *filters), seed)
    weight[seed % cout] *= seed % 3  # zeros, too
    packed, scales = (np.asarray(a) for a in kernels.pack_conv_int8(array(weight)))
    panels, groups, taps = -(-cout // 16), -(-cin // 8), 9 if filters == (3, 3) else 3
    assert (packed.shape, packed.dtype) == ((panels, taps, groups, 16, 8), np.int8)
    assert (scales.shape, scales.dtype) == ((16 * panels,), np.float32)
    plain = packed.transpose(0, 3, 2, 4, 1).reshape(16 * panels, 8 * groups, taps)
    assert not plain[cout:].any()
    assert not plain[:, cin:].any()
    assert not scales[cout:].any()
    flat = weight.reshape(cout, cin, taps)
    q, by = quantised_weight(flat)
    np.testing.assert_array_equal(plain[:cout, :cin], q)
    np.testing.assert_array_equal(scales[:cout], by)
    step = by[:, None, None].astype(np.float64)
    assert np.all(np.abs(step * q - flat) <= 0.5001 * step)


@pytest.mark.parametrize("array", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize(
    ("weight", "error", "says"),
    [
        (np.zeros((4, 4, 5, 5), np.float32), ValueError, "weight: expected"),
        (np.zeros((4, 4, 3), np.float16), TypeError, "weight: expected float32, got float16"),
        (np.full((4, 4, 3), np.nan, np.float32), ValueError, "a weight is NaN or Inf"),
        (np.zeros((1, 8193, 3), np.float32), ValueError, r"in_channels must be 1\.\.8192"),
    ],
)
def test_packing_refuses(weight, error, says, array):
    with pytest.raises(error, match=says):
        kernels.pack_conv_int8(array(weight))


def arguments(name="conv2d_3x3_int8", array=np.asarray, cin=24):
    packed, scales = kernels.pack_conv_int8(random((20, cin, *FILTERS[name]), 1, 0.1))
    arrays = {"x": random((2, 5, 6, cin)), "weight": packed, "scales": scales}
    arrays |= {"bias": random((20,), 2), "residual": random((2, 5, 6, 20), 3)}
    return {**{key: array(a) for key, a in arrays.items()}, "out_channels": 20, **RANGE}


@pytest.mark.parametrize("array", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("name", FILTERS)
def test_residual_may_be_out(isa, name, array):
    given, call = arguments(name, array), getattr(kernels, name)
    expected = call(**given, activation="silu")
    assert call(**given, activation="silu", out=given["residual"]) is given["residual"]
    np.testing.assert_array_equal(np.asarray(given["residual"]), np.asarray(expected))


@pytest.mark.parametrize("name", FILTERS)
def test_opcheck(name):
    given, checks = arguments(name, torch.from_numpy), ("test_schema", "test_faketensor")
    op, into = getattr(torch_ops, name), getattr(torch_ops, f"{name}_out")
    torch.library.opcheck(op, (), {**given, "activation": "silu"}, test_utils=checks)
    out = {"out": torch.empty(2, 5, 6, 20)}
    torch.library.opcheck(into, (), given | out, test_utils=checks)
    if name == "conv2d_3x3_int8":
        options = {"residual": None, "stride": 2}
        torch.library.opcheck(op, (), given | options, test_utils=checks)


class Layers(torch.nn.Module):
    """The three int8 operators with everything they take; weights are constants of the program."""

    def __init__(self):
        super().__init__()
        weights = {"conv": (20, 24, 3, 3), "temporal": (20, 20, 3), "down": (20, 20, 3, 3)}
        packed = {k: kernels.pack_conv_int8(random(v, 1, 0.1)) for k, v in weights.items()}
        packed["gemm"] = kernels.pack_gemm_int8(random((20, 20), 5))
        for name, (weight, scales) in packed.items():
            self.register_buffer(name, torch.from_numpy(weight))
            self.register_buffer(f"{name}_scales", torch.from_numpy(scales))
        self.register_buffer("bias", torch.from_numpy(random((20,), 2)))

    def forward(self, x):
        first = (self.conv, self.conv_scales, 20, 0.024, -12, self.bias)
        x = kernels.conv2d_3x3_int8(x, *first, activation="silu")
        second = (self.temporal, self.temporal_scales, 20, 0.03, 5, self.bias)
        x = kernels.temporal_conv_int8(x, *second, x, "relu")
        x = kernels.conv2d_3x3_int8(x, self.down, self.down_scales, 20, 0.02, -128, stride=2)
        return kernels.gemm_int8(x, self.gemm, self.gemm_scales, 20, self.bias)


def test_program_gives_the_same_bits():
    x, layers = torch.from_numpy(random((2, 5, 6, 24))), Layers()
    torch.testing.assert_close(run_as_program(layers, (x,)), layers(x), rtol=0, atol=0)


def test_compile_and_export_keep_the_ops():
    x, layers = torch.from_numpy(random((2, 5, 6, 24))), Layers()
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layers(x), rtol=0, atol=0)
    targets = [node.target for node in torch.export.export(layers, (x,)).graph.nodes]
    assert targets.count(torch_ops.conv2d_3x3_int8) == 2
    assert targets.count(torch_ops.temporal_conv_int8) == 1
    assert targets.count(torch_ops.gemm_int8) == 1


@pytest.mark.parametrize("kind", ["numpy", "cpu", "meta"])
@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (half("x"), TypeError, "x: expected float32, got"),
        (lambda a: {"x": a["x"][0]}, ValueError, "x: expected 4 dimensions"),
        ({"x": random((2, 5, 6, 25))}, ValueError, "weight: expected the packed"),
        (lambda a: {"weight": a["weight"].view(np.uint8)}, TypeError, "weight: expected int8"),
        (lambda a: {"weight": a["weight"][:1]}, ValueError, "weight: expected the packed"),
        (lambda a: {"scales": a["scales"][:20]}, ValueError, r"scales: expected \["),
        (lambda a: {"bias": a["bias"][:3]}, ValueError, "bias: expected"),
        (lambda a: {"residual": a["x"]}, ValueError, "residual: expected the shape"),
        (lambda a: {"out": a["x"]}, ValueError, "out: expected"),
        ({"stride": 3}, ValueError, "stride: expected 1 or 2, got 3"),
        ({"activation": "gelu"}, ValueError, "activation: expected None, 'silu' or"),
        ({"out_channels": 0}, ValueError, "out_channels: expected at least 1, got 0"),
        ({"scale": 0.0}, ValueError, "scale must be finite and at least"),
        ({"scale": np.nan}, ValueError, "scale must be finite and at least"),
        (half("scales"), TypeError, "scales: expected float32"),
        (half("bias"), TypeError, "bias: expected float32"),
        (half("residual"), TypeError, "residual: expected the dtype of x"),
        ({"zero_point": 128}, ValueError, r"zero_point.* -128\.\.127"),
        ({"zero_point": -129}, ValueError, r"zero_point.* -128\.\.127"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says, kind):
    with pytest.raises(error, match=says):
        kernels.conv2d_3x3_int8(**changed(arguments(), change, kind))


@pytest.mark.parametrize("kind", ["numpy", "cpu"])
@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"scale": 1e300}, ValueError, "scale must be finite and at least"),
        (lambda a: {"x": a["x"][..., ::2]}, ValueError, "x: expected a C-contiguous"),
        (lambda a: {"out": a["x"].ravel()[:1200].reshape(2, 5, 6, 20)}, ValueError, "overlap"),
    ],
)
def test_what_only_a_kernel_sees_is_refused(change, error, says, kind):
    with pytest.raises(error, match=says):
        kernels.conv2d_3x3_int8(**changed(arguments(), change, kind))


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match="scales: expected a numpy array as x is, got torch"):
        kernels.conv2d_3x3_int8(**{**arguments(), "scales": torch.zeros(32)})
    with pytest.raises(TypeError, match="weight: expected a numpy array or a torch CPU tensor"):
        kernels.pack_conv_int8([[1.0]])
