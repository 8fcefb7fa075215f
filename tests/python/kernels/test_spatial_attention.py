"""spatial_attention against float64, as a torch operator and as an ExecuTorch op."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from mobilevd import kernels  # noqa: E402
from mobilevd.kernels import torch_ops  # noqa: E402
from programs import run_as_program  # noqa: E402

op = torch_ops.spatial_attention
HEAD_DIM = st.integers(1, 16).map(lambda n: 8 * n)


def float64(q, k, v, heads, scale=None):
    def split(x):
        x = np.asarray(x, np.float64)
        return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)

    q, k, v = split(q), split(k), split(v)
    logits = (q.shape[-1] ** -0.5 if scale is None else scale) * q @ k.swapaxes(-1, -2)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = (weights @ v).transpose(0, 2, 1, 3)
    return out.reshape(*out.shape[:2], -1)


def arrays(batch, tokens, key_tokens, heads, d_qk, d_v, dtype=np.float32, seed=0, offset=0):
    rng = np.random.default_rng(seed)

    def one(rows, width):
        shape = (batch, rows, heads * width)
        flat = rng.standard_normal(int(np.prod(shape)) + offset).astype(dtype)
        return flat[offset:].reshape(shape)

    return one(tokens, d_qk), one(key_tokens, d_qk), one(key_tokens, d_v)


def tolerance(q, v, scale):
    """A mean of v, off by float32's rounding of weights whose logits are sums of d_qk products."""
    logits = float(np.abs(q).max()) ** 2 * 128 * abs(scale) if q.size else 0
    relative = 1e-6 + 2**-24 * logits + (0 if v.dtype == np.float32 else 2**-11)
    return relative * (float(np.abs(v).max()) if v.size else 0) + 1e-7


@settings(max_examples=120, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    sizes=st.tuples(st.integers(0, 2), st.integers(0, 90), st.integers(1, 300)),
    heads=st.integers(1, 4),
    d_qk=HEAD_DIM,
    d_v=HEAD_DIM,
    dtype=st.sampled_from([np.float32, np.float16]),
    threads=st.integers(1, 4),
    scale=st.none() | st.floats(-2, 2).map(lambda x: x / 8),
    offset=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_equals_float64(isa, sizes, heads, d_qk, d_v, dtype, threads, scale, offset, seed):
    q, k, v = arrays(*sizes, heads, d_qk, d_v, dtype, seed, offset)
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    out = kernels.spatial_attention(q, k, v, heads, scale)
    assert out.shape == (*q.shape[:2], v.shape[2])
    assert out.dtype == dtype
    if q.size == 0:
        return
    expected = float64(q, k, v, heads, scale)
    bound = tolerance(q, v, d_qk**-0.5 if scale is None else scale)
    np.testing.assert_allclose(out, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_threads_do_not_change_a_bit(isa, dtype):
    q, k, v = arrays(3, 150, 150, 3, 64, 32, dtype)
    kernels.set_num_threads(1)
    alone = kernels.spatial_attention(q, k, v, 3)
    for threads in (2, 3, 8):
        kernels.set_num_threads(threads)
        together = kernels.spatial_attention(q, k, v, 3)
        np.testing.assert_array_equal(alone.view(np.uint8), together.view(np.uint8))


def test_large_logits_do_not_overflow(isa):
    q, k, v = arrays(1, 40, 500, 2, 64, 64)
    out = kernels.spatial_attention(1e4 * q, 1e4 * k, v, 2)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_stay_in_their_picture_and_head(isa, dtype, bad):
    q, k, v = arrays(2, 40, 40, 3, 16, 16, dtype)
    clean = kernels.spatial_attention(q, k, v, 3)
    for x in (q, k, v):
        kept = x[1, 7, 20]
        x[1, 7, 20] = bad  # head 1
        dirty = kernels.spatial_attention(q, k, v, 3)
        x[1, 7, 20] = kept
        assert not np.isfinite(dirty).all()
        elsewhere = np.ones(clean.shape, bool)
        elsewhere[1, 7 if x is q else slice(None), 16:32] = False
        np.testing.assert_array_equal(dirty[elsewhere], clean[elsewhere])


def test_out_is_the_given_buffer(isa):
    q, k, v = arrays(2, 30, 20, 3, 16, 24)
    out = np.full((2, 30, 72), np.nan, np.float32)
    assert kernels.spatial_attention(q, k, v, 3, out=out) is out
    np.testing.assert_array_equal(out, kernels.spatial_attention(q, k, v, 3))


def test_out_that_cannot_be_written_is_refused():
    q, k, v = arrays(2, 30, 30, 3, 16, 16)
    with pytest.raises(ValueError, match="out must not overlap"):
        kernels.spatial_attention(q, k, v, 3, out=q)
    out = np.empty_like(v)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out: the array is read-only"):
        kernels.spatial_attention(q, k, v, 3, out=out)


def tensors(dtype=torch.float32, grad=False):
    q, k, v = arrays(2, 30, 20, 3, 16, 24)
    return tuple(torch.from_numpy(x).to(dtype).requires_grad_(grad) for x in (q, k, v))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(dtype, grad):
    torch.library.opcheck(op, (*tensors(dtype, grad), 3))
    torch.library.opcheck(op, (*tensors(dtype, grad), 3, 0.25))


def test_gradients_are_those_of_torch():
    mine, theirs = tensors(grad=True), tensors(grad=True)
    q, k, v = (x.unflatten(2, (3, -1)).transpose(1, 2) for x in theirs)
    want = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=0.3)
    want = want.transpose(1, 2).flatten(2)
    out = op(*mine, 3, 0.3)
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-5)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (out * weight).sum().backward()
    (want * weight).sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


class Layer(torch.nn.Module):
    def forward(self, q, k, v):
        return 2 * kernels.spatial_attention(q, k, v, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_program_gives_the_same_bits(dtype):
    x = tensors(dtype)
    layer = Layer()
    torch.testing.assert_close(run_as_program(layer, x), layer(*x), rtol=0, atol=0)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*x), layer(*x), rtol=0, atol=0)
    targets = [node.target for node in torch.export.export(layer, x).graph.nodes]
    assert targets.count(op) == 1


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda a: a.update(q=a["q"].astype(np.float64)), TypeError, "q: expected float32 or"),
        (lambda a: a.update(k=a["k"][:, ::2]), ValueError, "C-contiguous"),
        (lambda a: a.update(k=a["k"][0]), ValueError, "k: expected 3 dimensions"),
        (lambda a: a.update(v=a["v"][:, :3].copy()), ValueError, "v: expected batch and tokens"),
        (lambda a: a.update(k=a["k"].astype(np.float16)), TypeError, "k: expected the dtype of q"),
        (lambda a: a.update(num_heads=0), ValueError, "num_heads: expected at least 1"),
        (lambda a: a.update(num_heads=5), ValueError, "num_heads = 5"),
        (lambda a: a.update(out=np.zeros((1, 1, 8), np.float32)), ValueError, "out: expected"),
        (lambda a: a.update(q=[1.0]), TypeError, "q: expected a numpy array or a torch"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    q, k, v = arrays(2, 30, 20, 3, 16, 24)
    arguments = {"q": q, "k": k, "v": v, "num_heads": 3}
    change(arguments)
    with pytest.raises(error, match=says):
        kernels.spatial_attention(**arguments)
