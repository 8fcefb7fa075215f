"""temporal_attention on numpy arrays: values, memory, errors."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mobilevd import kernels
from temporal_attention_reference import temporal_attention_float64, tolerance

HEAD_DIM = st.integers(1, 16).map(lambda n: 8 * n)


def arrays(shape, heads, d_qk, d_v, dtype=np.float32, seed=0, offset=0):
    """q, k, v of a problem; `offset` elements past an allocation's start."""
    rng = np.random.default_rng(seed)

    def one(width):
        full = (*shape, heads * width)
        flat = rng.standard_normal(int(np.prod(full)) + offset).astype(dtype)
        return flat[offset:].reshape(full)

    return one(d_qk), one(d_qk), one(d_v)


@settings(max_examples=150, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    shape=st.tuples(st.integers(0, 2), st.integers(1, 32), st.integers(0, 19)),
    heads=st.integers(1, 5),
    d_qk=HEAD_DIM,
    d_v=HEAD_DIM,
    dtype=st.sampled_from([np.float32, np.float16]),
    threads=st.integers(1, 4),
    scale=st.none() | st.floats(-2, 2).map(lambda x: x / 8),
    offset=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_equals_float64(isa, shape, heads, d_qk, d_v, dtype, threads, scale, offset, seed):
    q, k, v = arrays(shape, heads, d_qk, d_v, dtype, seed, offset)
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    out = kernels.temporal_attention(q, k, v, heads, scale)
    assert out.shape == v.shape
    assert out.dtype == dtype
    expected = temporal_attention_float64(q, k, v, heads, scale)
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance(v))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_threads_do_not_change_a_bit(isa, dtype):
    q, k, v = arrays((2, 14, 101), 3, 64, 64, dtype)
    kernels.set_num_threads(1)
    alone = kernels.temporal_attention(q, k, v, 3)
    for threads in (2, 3, 8):
        kernels.set_num_threads(threads)
        assert kernels.get_num_threads() == threads
        together = kernels.temporal_attention(q, k, v, 3)
        np.testing.assert_array_equal(alone.view(np.uint8), together.view(np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_stay_in_their_position_and_head(isa, dtype, bad):
    q, k, v = arrays((1, 14, 6), 3, 16, 16, dtype)
    clean = kernels.temporal_attention(q, k, v, 3)
    for x in (q, k, v):
        kept = x[0, 5, 4, 20]
        x[0, 5, 4, 20] = bad  # head 1
        dirty = kernels.temporal_attention(q, k, v, 3)
        x[0, 5, 4, 20] = kept
        changed = ~np.isfinite(dirty)
        assert changed.any()
        elsewhere = np.ones(clean.shape, bool)
        elsewhere[:, :, 4, 16:32] = False
        np.testing.assert_array_equal(dirty[elsewhere], clean[elsewhere])


def test_out_is_the_given_buffer(isa):
    q, k, v = arrays((1, 7, 5), 2, 32, 24)
    out = np.full_like(v, np.nan)
    address = out.ctypes.data
    assert kernels.temporal_attention(q, k, v, 2, out=out) is out
    assert out.ctypes.data == address
    expected = temporal_attention_float64(q, k, v, 2)
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance(v))


def test_inputs_are_read_in_place(isa):
    q, k, v = arrays((1, 7, 5), 2, 32, 32)
    for x in (q, k, v):
        x.flags.writeable = False
    kernels.temporal_attention(q, k, v, 2)


def test_large_logits_do_not_overflow(isa):
    q, k, v = arrays((1, 14, 5), 2, 64, 64)
    out = kernels.temporal_attention(q * 1e15, k * 1e15, v, 2)
    assert np.isfinite(out).all()


def test_no_positions_is_no_work(isa):
    q, k, v = arrays((1, 14, 0), 2, 8, 8)
    assert kernels.temporal_attention(q, k, v, 2).shape == (1, 14, 0, 16)


GOOD = dict(zip("qkv", arrays((1, 7, 5), 2, 32, 32), strict=True))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"q": GOOD["q"].astype(np.float64)}, TypeError, "q: expected float32 or float16"),
        ({"q": GOOD["q"].astype(np.int32)}, TypeError, "q: expected float32 or float16"),
        ({"k": GOOD["k"].astype(">f4")}, TypeError, "k: expected float32 or float16"),
        ({"v": GOOD["v"].astype(np.float16)}, TypeError, "v: expected the dtype of q, float32"),
        ({"k": GOOD["k"][:, :, :, ::2]}, ValueError, "k: expected a C-contiguous array"),
        ({"q": np.asfortranarray(GOOD["q"])}, ValueError, "q: expected a C-contiguous array"),
        ({"q": GOOD["q"][0]}, ValueError, "q: expected 4 dimensions"),
        ({"k": GOOD["k"][:, :6].copy()}, ValueError, "k: expected the shape of q"),
        ({"v": GOOD["v"][:, :, :4].copy()}, ValueError, "v: expected batch, frames and positions"),
        ({"num_heads": 3}, ValueError, "q: expected a last dimension of num_heads = 3"),
        ({"num_heads": 0}, ValueError, "num_heads: expected at least 1, got 0"),
        ({"num_heads": 16}, ValueError, "head_dim of 8..128 in steps of 8"),
        ({"k": GOOD["k"].tolist()}, TypeError, "k: expected a numpy array"),
        ({"v": None}, TypeError, "v: expected a numpy array as q is"),
        ({"q": [1.0]}, TypeError, "q: expected a numpy array or a torch CPU tensor"),
        ({"out": np.empty((1, 7, 5, 32), np.float32)}, ValueError, "out: expected the shape of q"),
        ({"out": GOOD["q"]}, ValueError, "out must not overlap"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    says = says.replace("the shape of q", "the shape of") if "out" in change else says
    arguments = {**GOOD, "num_heads": 2, **change}
    with pytest.raises(error) as caught:
        kernels.temporal_attention(**arguments)
    assert says in str(caught.value)


def test_read_only_out_is_refused():
    out = np.empty_like(GOOD["v"])
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out: the array is read-only"):
        kernels.temporal_attention(**GOOD, num_heads=2, out=out)


def test_33_frames_are_refused():
    q, k, v = arrays((1, 33, 2), 1, 8, 8)
    with pytest.raises(ValueError, match="1 to 32 frames"):
        kernels.temporal_attention(q, k, v, 1)


def test_set_isa_lists_what_there_is():
    before = kernels.isa()
    for name in ("mmx", "", "AVX2"):
        with pytest.raises(ValueError, match="scalar") as caught:
            kernels.set_isa(name)
        assert all(isa in str(caught.value) for isa in kernels.available_isas())
    assert kernels.isa() == before


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_bad_thread_counts(threads):
    with pytest.raises(ValueError, match=r"num_threads: expected 1\.\.1024"):
        kernels.set_num_threads(threads)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_numpy_use_does_not_import_torch():
    code = (
        "import sys, numpy as np; from mobilevd import kernels;"
        "x = np.ones((1, 2, 3, 8), np.float32);"
        "kernels.temporal_attention(x, x, x, 1); assert 'torch' not in sys.modules"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_environment_forces_the_isa_or_is_reported():
    assert run_python(
        "from mobilevd import kernels; print(kernels.isa())", MOBILEVD_ISA="scalar"
    ).stdout.split() == ["scalar"]
    code = (
        "import numpy as np; from mobilevd import kernels;"
        "x = np.ones((1, 2, 3, 8), np.float32); kernels.temporal_attention(x, x, x, 1)"
    )
    done = run_python(code, MOBILEVD_ISA="mmx")
    assert done.returncode != 0
    assert "MOBILEVD_ISA=mmx is not an ISA of this CPU" in done.stderr


def test_kernels_work_after_fork():
    code = """
import os, numpy as np
from mobilevd import kernels
kernels.set_num_threads(3)
x = np.random.default_rng(0).standard_normal((1, 14, 500, 64)).astype(np.float32)
before = kernels.temporal_attention(x, x, x, 1)
child = os.fork()
if child == 0:
    after = kernels.temporal_attention(x, x, x, 1)
    os._exit(0 if (after == before).all() else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
