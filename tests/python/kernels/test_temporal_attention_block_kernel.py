"""temporal_attention_block on numpy arrays: values, memory, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mobilevd import kernels
from temporal_attention_block_reference import added_float64, problem, tolerance

HEAD_DIM = st.integers(1, 16).map(lambda n: 8 * n)
SIZES = {
    "shape": st.tuples(st.integers(0, 2), st.integers(1, 32), st.integers(0, 19)),
    "channels": st.integers(1, 100),
    "heads": st.integers(1, 5),
    "d_qk": HEAD_DIM,
    "d_v": HEAD_DIM,
    "scale": st.none() | st.floats(-1, 1).map(lambda x: x / 4),
    "seed": st.integers(0, 1000),
}


def pack(weights, heads, precision="float32"):
    return kernels.pack_temporal_attention_block(*weights, heads, precision)


@settings(max_examples=100, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    threads=st.integers(1, 4),
    offset=st.integers(0, 3),
    eps=st.sampled_from([1e-5, 1e-3]),
    **SIZES,
)
def test_equals_float64(isa, threads, offset, eps, shape, channels, heads, d_qk, d_v, scale, seed):
    x, weights = problem(shape, channels, heads, d_qk, d_v, seed, offset)
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    out = kernels.temporal_attention_block(x, pack(weights, heads), heads, scale, eps)
    assert out.shape == x.shape
    assert out.dtype == np.float32
    added = added_float64(x, weights, heads, scale, eps)
    atol = tolerance(added, weights.to_out_bias, channels, heads * d_v)
    np.testing.assert_allclose(out, x + added, rtol=1e-6, atol=atol)


@settings(max_examples=60, deadline=None)
@given(isa=st.sampled_from(kernels.available_isas()), threads=st.integers(1, 4), **SIZES)
def test_int8_equals_float64_on_the_same_grids(
    isa, threads, shape, channels, heads, d_qk, d_v, scale, seed
):
    """But for values that float32 puts on the other side of a step."""
    x, weights = problem(shape, channels, heads, d_qk, d_v, seed)
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    out = kernels.temporal_attention_block(x, pack(weights, heads, "int8"), heads, scale)
    added = added_float64(x, weights, heads, scale, snapped=True)
    error = np.linalg.norm(out - x - added)
    assert error <= 0.01 * np.linalg.norm(added)


def test_int8_is_close_to_float32(isa):
    x, weights = problem((1, 14, 20), 320, 5, 64, 64)
    exact = kernels.temporal_attention_block(x, pack(weights, 5), 5)
    int8 = kernels.temporal_attention_block(x, pack(weights, 5, "int8"), 5)
    assert np.linalg.norm(int8 - exact) < 0.03 * np.linalg.norm(exact - x)


def test_int8_takes_a_quarter():
    _, weights = problem((1, 1, 1), 320, 5, 64, 64)
    exact, int8 = pack(weights, 5), pack(weights, 5, "int8")
    assert exact.to_qkv.nbytes == 4 * int8.to_qkv.nbytes
    assert exact.to_out.nbytes == 4 * int8.to_out.nbytes
    assert exact.to_qkv_scale is None
    assert int8.to_qkv_scale.shape == (3 * 320,)
    # Head by head: q, k and v of head 0 come first.
    np.testing.assert_array_equal(exact.to_qkv[0, :, :].T, weights.to_q[:16])
    np.testing.assert_array_equal(exact.to_qkv[4, :, :].T, weights.to_k[:16])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_threads_do_not_change_a_bit(isa, precision):
    x, weights = problem((2, 14, 101), 64, 2, 32, 24)
    packed = pack(weights, 2, precision)
    kernels.set_num_threads(1)
    alone = kernels.temporal_attention_block(x, packed, 2)
    for threads in (2, 3, 8):
        kernels.set_num_threads(threads)
        together = kernels.temporal_attention_block(x, packed, 2)
        np.testing.assert_array_equal(alone.view(np.uint8), together.view(np.uint8))


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_stay_in_their_position(isa, precision, bad):
    x, weights = problem((1, 14, 6), 32, 2, 16, 8)
    packed = pack(weights, 2, precision)
    clean = kernels.temporal_attention_block(x, packed, 2)
    x[0, 5, 4, 20] = bad
    dirty = kernels.temporal_attention_block(x, packed, 2)
    assert np.isnan(dirty[:, :, 4]).all()
    elsewhere = [0, 1, 2, 3, 5]
    np.testing.assert_array_equal(dirty[:, :, elsewhere], clean[:, :, elsewhere])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_out_is_the_given_buffer_and_may_be_x(isa, precision):
    x, weights = problem((1, 7, 5), 40, 1, 32, 24)
    packed = pack(weights, 1, precision)
    x.flags.writeable = False
    out = np.full_like(x, np.nan)
    address = out.ctypes.data
    assert kernels.temporal_attention_block(x, packed, 1, out=out) is out
    assert out.ctypes.data == address
    mine = x.copy()
    assert kernels.temporal_attention_block(mine, packed, 1, out=mine) is mine
    np.testing.assert_array_equal(out, mine)


X, WEIGHTS = problem((1, 7, 5), 32, 2, 32, 16)
PACKED, PACKED_INT8 = pack(WEIGHTS, 2), pack(WEIGHTS, 2, "int8")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"x": X.astype(np.float64)}, TypeError, "x: expected float32"),
        ({"x": X.astype(np.float16)}, TypeError, "x: expected float32, got float16"),
        ({"x": X[0]}, ValueError, "x: expected 4 dimensions"),
        ({"x": X[..., ::2]}, ValueError, "x: expected a C-contiguous array"),
        ({"x": X[..., :24].copy()}, ValueError, "the channels of x"),
        ({"x": X.tolist()}, TypeError, "x: expected a numpy array or a torch CPU tensor"),
        ({"x": np.zeros((1, 33, 1, 32), np.float32)}, ValueError, "1 to 32 frames"),
        ({"num_heads": 3}, ValueError, "not packed for num_heads = 3"),
        ({"num_heads": 0}, ValueError, "num_heads: expected 1..4096, got 0"),
        ({"out": X[:, :, ::2]}, ValueError, "out: expected a C-contiguous array"),
        ({"out": X[:, :, :4].copy()}, ValueError, "out: expected the shape of x"),
        ({"weights": PACKED._replace(norm_bias=WEIGHTS.norm_bias[:8])}, ValueError, "norm_bias"),
        ({"weights": PACKED._replace(to_qkv=WEIGHTS.to_q)}, ValueError, "to_qkv: expected 3 dim"),
        ({"weights": PACKED._replace(to_qkv=PACKED.to_qkv[:-1])}, ValueError, "not packed for"),
        ({"weights": PACKED._replace(to_out=PACKED_INT8.to_out)}, TypeError, "to_out"),
        ({"weights": PACKED_INT8._replace(to_out=PACKED.to_out)}, TypeError, "to_out: expected i"),
        ({"weights": PACKED_INT8._replace(to_out_scale=None)}, ValueError, "need their scales"),
        ({"weights": PACKED._replace(to_out_scale=X[0, 0, 0])}, ValueError, "have no scales"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    arguments = {"x": X, "weights": PACKED, "num_heads": 2, **change}
    with pytest.raises(error) as caught:
        kernels.temporal_attention_block(**arguments)
    assert says in str(caught.value)


def test_partly_overlapping_out_is_refused():
    memory = np.zeros(X.size + 1, np.float32)
    with pytest.raises(ValueError, match="out must be x or not overlap it"):
        kernels.temporal_attention_block(
            memory[:-1].reshape(X.shape), PACKED, 2, out=memory[1:].reshape(X.shape)
        )


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"to_q": WEIGHTS.to_q.astype(np.float16)}, TypeError, "to_q: expected float32"),
        ({"to_k": WEIGHTS.to_k[:8].copy()}, ValueError, "to_k: expected shape (64, 32) as to_q"),
        ({"to_v": WEIGHTS.to_v[:, :8].copy()}, ValueError, "to_v: expected shape (32, 32)"),
        ({"to_out": WEIGHTS.to_out[:8].copy()}, ValueError, "to_out: expected shape (32, 32)"),
        ({"to_q": WEIGHTS.to_q[0]}, ValueError, "to_q: expected 2 dimensions"),
        ({"to_q": WEIGHTS.to_q.T}, ValueError, "to_q: expected a C-contiguous array"),
        ({"to_v": WEIGHTS.to_v.tolist()}, TypeError, "to_v: expected a numpy array"),
        ({"num_heads": 3}, ValueError, "to_q: expected num_heads = 3 times a head_dim"),
        ({"precision": "int4"}, ValueError, "'int4'"),
    ],
)
def test_bad_weights_say_what_is_wrong(change, error, says):
    with pytest.raises(error) as caught:
        kernels.pack_temporal_attention_block(**{**WEIGHTS._asdict(), "num_heads": 2, **change})
    assert says in str(caught.value)


def test_int8_refuses_weights_that_are_not_finite():
    weights = WEIGHTS._replace(to_out=np.full_like(WEIGHTS.to_out, np.inf))
    with pytest.raises(ValueError, match="NaN or Inf"):
        pack(weights, 2, "int8")
