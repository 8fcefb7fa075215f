"""group_norm_silu on numpy arrays: values, memory, errors."""

from __future__ import annotations

import numpy as np
import pytest
from group_norm_silu_reference import group_norm_silu_float64, tolerance
from hypothesis import given, settings
from hypothesis import strategies as st
from mobilevd import kernels

EPS = 1e-5


def arrays(shape, channels, dtype=np.float32, parameters=None, seed=0, offset=0, mean=0.5):
    """x, weight, bias; `offset` elements past an allocation's start."""
    rng = np.random.default_rng(seed)

    def one(full, mean, dtype):
        flat = (mean + rng.standard_normal(int(np.prod(full)) + offset)).astype(dtype)
        return flat[offset:].reshape(full)

    parameters = parameters or dtype
    return (
        one(shape, mean, dtype),
        one((channels,), 1, parameters),
        one((channels,), 0, parameters),
    )


def check(x, weight, bias, groups, eps, silu=True, channels_last=False):
    out = kernels.group_norm_silu(x, weight, bias, groups, eps, silu, channels_last)
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    expected = group_norm_silu_float64(x, weight, bias, groups, eps, silu, channels_last)
    atol = tolerance(expected, x.dtype)
    np.testing.assert_allclose(out, expected, rtol=0, atol=atol)


@settings(max_examples=200, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    batch=st.integers(0, 3),
    group=st.sampled_from([1, 2, 3, 8, 10, 20, 40]),
    groups=st.sampled_from([1, 2, 5, 32, 40]),
    inner=st.lists(st.integers(0, 23), max_size=3),
    channels_last=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float16]),
    parameters=st.sampled_from([None, np.float32]),
    with_weight=st.booleans(),
    with_bias=st.booleans(),
    silu=st.booleans(),
    eps=st.sampled_from([1e-6, 1e-5, 1e-1]),
    threads=st.integers(1, 4),
    offset=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_equals_float64(
    isa,
    batch,
    group,
    groups,
    inner,
    channels_last,
    dtype,
    parameters,
    with_weight,
    with_bias,
    silu,
    eps,
    threads,
    offset,
    seed,
):
    channels = group * groups
    shape = (batch, *inner, channels) if channels_last else (batch, channels, *inner)
    x, weight, bias = arrays(shape, channels, dtype, parameters, seed, offset)
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    weight, bias = weight if with_weight else None, bias if with_bias else None
    check(x, weight, bias, groups, eps, silu, channels_last)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(3, 64, 50, 16), (1, 32, 20, 500), (1, 64, 90, 30)])
def test_threads_do_not_change_a_bit(isa, shape, channels_last):
    x, weight, bias = arrays(shape, shape[1])
    if channels_last:
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    kernels.set_num_threads(1)
    alone = kernels.group_norm_silu(x, weight, bias, 2, EPS, channels_last=channels_last)
    for threads in (2, 3, 8):
        kernels.set_num_threads(threads)
        together = kernels.group_norm_silu(x, weight, bias, 2, EPS, channels_last=channels_last)
        np.testing.assert_array_equal(alone.view(np.uint8), together.view(np.uint8))


@pytest.mark.parametrize("channels_last", [False, True])
def test_temporal_use_is_one_sample_of_frames_times_positions(isa, channels_last):
    """[B, C, F, S] and [B, F, S, C]: statistics over frames and positions."""
    x, weight, bias = arrays((2, 64, 7, 33), 64)
    if channels_last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    check(x, weight, bias, 32, EPS, channels_last=channels_last)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_large_mean_costs_nothing(isa, channels_last):
    x, weight, bias = arrays((2, 40, 40, 40), 40, mean=1e4)
    check(x, weight, bias, 4, EPS, silu=False, channels_last=channels_last)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_stay_in_their_group(isa, dtype, bad):
    x, weight, bias = arrays((2, 30, 19), 30, dtype)
    clean = kernels.group_norm_silu(x, weight, bias, 3, EPS)
    x[1, 14, 7] = bad  # group 1
    dirty = kernels.group_norm_silu(x, weight, bias, 3, EPS)
    assert np.isnan(dirty[1, 10:20]).all()
    clean[1, 10:20] = dirty[1, 10:20] = 0
    np.testing.assert_array_equal(dirty, clean)


@pytest.mark.parametrize("channels_last", [False, True])
def test_in_place(isa, channels_last):
    x, weight, bias = arrays((2, 40, 60, 40), 40)
    expected = kernels.group_norm_silu(x, weight, bias, 4, EPS, channels_last=channels_last)
    assert kernels.group_norm_silu(x, weight, bias, 4, EPS, channels_last=channels_last, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_inputs_are_read_in_place(isa):
    given_arrays = arrays((1, 20, 5), 20)
    for a in given_arrays:
        a.flags.writeable = False
    kernels.group_norm_silu(*given_arrays, 2, EPS)


GOOD = dict(zip(("x", "weight", "bias"), arrays((2, 20, 7), 20), strict=True))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"x": GOOD["x"].astype(np.float64)}, TypeError, "x: expected float32 or float16"),
        ({"x": GOOD["x"].astype(">f4")}, TypeError, "x: expected float32 or float16"),
        ({"weight": GOOD["weight"].astype(np.float16)}, TypeError, "weight: expected the dtype"),
        ({"bias": GOOD["bias"].astype(np.float64)}, TypeError, "bias: expected float32 or"),
        ({"weight": GOOD["weight"][:-1].copy()}, ValueError, "weight: expected the 20 channels"),
        ({"bias": GOOD["bias"][:, None].copy()}, ValueError, "bias: expected the 20 channels"),
        ({"x": GOOD["x"][:, :, ::2]}, ValueError, "x: expected a C-contiguous array"),
        ({"x": GOOD["x"][0, 0]}, ValueError, "x: expected at least 2 dimensions"),
        ({"num_groups": 3}, ValueError, "num_groups: expected a divisor of the 20 channels"),
        ({"num_groups": 0}, ValueError, "num_groups: expected a divisor"),
        ({"eps": 0.0}, ValueError, "eps: expected a positive number"),
        ({"eps": -1e-5}, ValueError, "eps: expected a positive number"),
        ({"eps": np.nan}, ValueError, "eps: expected a positive number"),
        ({"weight": GOOD["weight"].tolist()}, TypeError, "weight: expected a numpy array"),
        ({"x": [1.0]}, TypeError, "x: expected a numpy array or a torch CPU tensor"),
        ({"out": np.empty((2, 20, 6), np.float32)}, ValueError, "out: expected the shape of x"),
        ({"out": np.empty((2, 20, 7), np.float16)}, TypeError, "out: expected the dtype of x"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    arguments = {**GOOD, "num_groups": 2, "eps": EPS, **change}
    with pytest.raises(error) as caught:
        kernels.group_norm_silu(**arguments)
    assert says in str(caught.value)


def test_float16_parameters_agree_in_dtype():
    x, weight, bias = arrays((2, 20, 7), 20, np.float16)
    with pytest.raises(TypeError, match="bias: expected the dtype of weight, float32"):
        kernels.group_norm_silu(x, weight.astype(np.float32), bias, 2, EPS)


def test_partial_overlap_is_refused():
    memory = np.zeros(300, np.float32)
    x, out = memory[:280].reshape(2, 20, 7), memory[1:281].reshape(2, 20, 7)
    with pytest.raises(ValueError, match="out must be x or not overlap it"):
        kernels.group_norm_silu(x, None, None, 2, EPS, out=out)
    with pytest.raises(ValueError, match="out must not overlap weight or bias"):
        kernels.group_norm_silu(x, memory[100:120], None, 2, EPS, out=x)
