"""gemm_int8 against its definition, bit by bit, as a torch operator and as an ExecuTorch op."""

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

ARRAYS = [np.asarray, torch.from_numpy]


def definition(x, weight, bias):
    """The header's: exact sums, by way of float64, between a few operations in float32."""
    largest = np.abs(x).max(axis=-1, keepdims=True)
    factor = np.float32(127) / np.where(largest < 2.0**-100, np.float32(np.inf), largest)
    largest = np.where(largest < 2.0**-100, np.float32(0), largest)
    q, scales = quantised_weight(weight)
    sums = np.rint(x * factor).astype(np.float64) @ q.T
    out = sums.astype(np.float32) * (largest / np.float32(127) * scales)
    return out if bias is None else out + bias


@settings(max_examples=150, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    leading=st.lists(st.integers(0, 9), max_size=3),
    features=st.tuples(st.integers(1, 90) | st.just(1300), st.integers(1, 80)),
    extras=st.tuples(st.booleans(), st.booleans()),
    size=st.sampled_from([1.0, 1e-20, 1e20]),
    array=st.sampled_from(ARRAYS),
    threads=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_every_isa_gives_the_bits_of_the_definition(
    isa, leading, features, extras, size, array, threads, seed
):
    (k, n), (with_bias, given_out) = features, extras
    x, weight = random((*leading, k), seed, size), random((n, k), seed + 1)
    bias = random((n,), seed + 2) if with_bias else None
    into = array(np.full((*leading, n), np.nan, np.float32)) if given_out else None
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    packed = kernels.pack_gemm_int8(array(weight))
    out = kernels.gemm_int8(array(x), *packed, n, None if bias is None else array(bias), into)
    assert out is into or not given_out
    assert isinstance(out, type(array(x)))
    assert np.asarray(out).dtype == np.float32
    np.testing.assert_array_equal(np.asarray(out), definition(x, weight, bias))


def test_isas_and_threads_do_not_change_a_bit():
    x, packed = random((3, 101, 700)), kernels.pack_gemm_int8(random((300, 700), 1))
    results = []
    for isa in kernels.available_isas():
        for threads in (1, 3, 8):
            kernels.set_isa(isa)
            kernels.set_num_threads(threads)
            results.append(kernels.gemm_int8(x, *packed, 300).tobytes())
    assert len(set(results)) == 1


def test_is_near_the_layer_it_stands_for(isa):
    """In shares of the largest output: rounding to 8 bits is all there is."""
    x, weight = random((64, 640)), random((128, 640), 1, 640**-0.5)
    expected = x.astype(np.float64) @ weight.T.astype(np.float64)
    out = kernels.gemm_int8(x, *kernels.pack_gemm_int8(weight), 128)
    assert np.abs(out - expected).max() < 0.02 * np.abs(expected).max()


def test_every_row_has_its_own_range(isa):
    """Scaled by a power of two, a row's output is exactly that; the others stay."""
    x, packed = random((20, 40)), kernels.pack_gemm_int8(random((33, 40), 1))
    expected = kernels.gemm_int8(x, *packed, 33)
    x[7] *= 1024
    expected[7] *= 1024
    np.testing.assert_array_equal(kernels.gemm_int8(x, *packed, 33), expected)


@pytest.mark.parametrize("tiny", [0.0, 2.0**-101])
def test_a_row_of_zeros_gives_the_bias(isa, tiny):
    x, bias = random((20, 40)), random((33,), 2)
    x[7] = tiny
    out = kernels.gemm_int8(x, *kernels.pack_gemm_int8(random((33, 40), 1)), 33, bias)
    np.testing.assert_array_equal(out[7], bias)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_make_their_row_nan(isa, bad):
    x, packed = random((20, 40)), kernels.pack_gemm_int8(random((33, 40), 1))
    expected = kernels.gemm_int8(x, *packed, 33)
    x[7, 3], expected[7] = bad, np.nan
    np.testing.assert_array_equal(kernels.gemm_int8(x, *packed, 33), expected)


@settings(max_examples=40, deadline=None)
@given(
    features=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    array=st.sampled_from(ARRAYS),
    seed=st.integers(0, 1000),
)
def test_packing_is_as_documented(features, array, seed):
    n, k = features
    weight = random((n, k), seed)
    weight[seed % n] *= seed % 3  # zeros, too
    packed, scales = (np.asarray(a) for a in kernels.pack_gemm_int8(array(weight)))
    panels, groups = -(-n // 16), -(-k // 8)
    assert (packed.shape, packed.dtype) == ((panels, groups, 16, 8), np.int8)
    assert (scales.shape, scales.dtype) == ((16 * panels,), np.float32)
    plain = packed.transpose(0, 2, 1, 3).reshape(16 * panels, 8 * groups)
    assert not plain[n:].any()
    assert not plain[:, k:].any()
    assert not scales[n:].any()
    q, by = quantised_weight(weight)
    np.testing.assert_array_equal(plain[:n, :k], q)
    np.testing.assert_array_equal(scales[:n], by)
    step = by[:, None].astype(np.float64)
    assert np.all(np.abs(step * q - weight) <= 0.5001 * step)


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize(
    ("weight", "error", "says"),
    [
        (np.zeros((4, 4, 1), np.float32), ValueError, "weight: expected 2 dimensions"),
        (np.zeros((4, 4), np.float16), TypeError, "weight: expected float32, got float16"),
        (np.full((4, 4), np.inf, np.float32), ValueError, "a weight is NaN or Inf"),
        (np.zeros((1, 65537), np.float32), ValueError, "sizes out of range"),
    ],
)
def test_packing_refuses(weight, error, says, array):
    with pytest.raises(error, match=says):
        kernels.pack_gemm_int8(array(weight))


def arguments(array=np.asarray):
    packed, scales = kernels.pack_gemm_int8(random((20, 24), 1, 0.2))
    arrays = {"x": random((2, 5, 24)), "weight": packed, "scales": scales, "bias": random(20, 2)}
    return {**{key: array(a) for key, a in arrays.items()}, "out_features": 20}


def test_opcheck():
    given, checks = arguments(torch.from_numpy), ("test_schema", "test_faketensor")
    torch.library.opcheck(torch_ops.gemm_int8, (), given, test_utils=checks)
    torch.library.opcheck(torch_ops.gemm_int8, (), given | {"bias": None}, test_utils=checks)
    out = {"out": torch.empty(2, 5, 20)}
    torch.library.opcheck(torch_ops.gemm_int8_out, (), given | out, test_utils=checks)


class Layers(torch.nn.Module):
    """With and without a bias; beside convolutions, see test_conv_int8.py."""

    def __init__(self):
        super().__init__()
        for name, tensor in arguments(torch.from_numpy).items():
            if name not in ("x", "out_features"):
                self.register_buffer(name, tensor)

    def forward(self, x):
        y = kernels.gemm_int8(x, self.weight, self.scales, 20, self.bias)
        return y + kernels.gemm_int8(x[:, :1].contiguous(), self.weight, self.scales, 20)


def test_program_gives_the_same_bits():
    x, layers = torch.from_numpy(random((2, 5, 24))), Layers()
    torch.testing.assert_close(run_as_program(layers, (x,)), layers(x), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["numpy", "cpu", "meta"])
@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (half("x"), TypeError, "x: expected float32, got"),
        (lambda a: {"x": a["x"][..., :16].copy()}, ValueError, "weight: expected the packed"),
        (lambda a: {"weight": a["weight"].view(np.uint8)}, TypeError, "weight: expected int8"),
        (lambda a: {"weight": a["weight"][:1]}, ValueError, "weight: expected the packed"),
        (lambda a: {"scales": a["scales"][:20]}, ValueError, r"scales: expected \["),
        (lambda a: {"bias": a["bias"][:3]}, ValueError, "bias: expected"),
        (half("scales"), TypeError, "scales: expected float32"),
        (half("bias"), TypeError, "bias: expected float32"),
        ({"out": random((2, 4, 20))}, ValueError, "out: expected"),
        ({"out": random((10, 20))}, ValueError, "out: expected"),
        ({"out_features": 48}, ValueError, "weight: expected the packed"),
        (
            {"out_features": 17, "bias": None, "out": random((2, 5, 20))},
            ValueError,
            "out: expected",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says, kind):
    with pytest.raises(error, match=says):
        kernels.gemm_int8(**changed(arguments(), change, kind))


@pytest.mark.parametrize("kind", ["numpy", "cpu"])
@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda a: {"x": a["x"][..., ::2]}, ValueError, "x: expected a C-contiguous"),
        (lambda a: {"out": a["x"].ravel()[:200].reshape(2, 5, 20)}, ValueError, "overlap"),
    ],
)
def test_what_only_a_kernel_sees_is_refused(change, error, says, kind):
    with pytest.raises(error, match=says):
        kernels.gemm_int8(**changed(arguments(), change, kind))


@pytest.mark.parametrize("kind", ["numpy", "meta"])
@pytest.mark.parametrize("count", [0, -1])
def test_there_are_outputs(count, kind):
    with pytest.raises(ValueError, match=r"out_features: expected .*at least 1"):
        kernels.gemm_int8(**changed(arguments(), {"out_features": count}, kind))


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match="scales: expected a numpy array as x is, got torch"):
        kernels.gemm_int8(**{**arguments(), "scales": torch.zeros(32)})
    with pytest.raises(TypeError, match="weight: expected a numpy array or a torch CPU tensor"):
        kernels.pack_gemm_int8([[1.0]])
