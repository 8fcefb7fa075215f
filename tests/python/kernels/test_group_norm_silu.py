"""group_norm_silu against float64, as a torch operator and as an ExecuTorch op."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from mobilevd import kernels  # noqa: E402
from mobilevd.kernels import torch_ops  # noqa: E402
from programs import run_as_program  # noqa: E402
from torch.nn import functional as F  # noqa: E402

op = torch_ops.group_norm_silu


def float64(x, weight, bias, groups, eps, silu, channels_last, details=False):
    x = np.moveaxis(x.astype(np.float64), -1, 1) if channels_last else x.astype(np.float64)
    rows = x.reshape(x.shape[0], groups, -1)
    mean = rows.mean(-1, keepdims=True)
    deviation = np.sqrt(rows.var(-1, keepdims=True) + eps)
    out = ((rows - mean) / deviation).reshape(x.shape)
    # What float32 can tell of x - mean is a unit in the last place of x.
    doubt = np.broadcast_to(1 + np.abs(mean) / deviation, rows.shape).reshape(x.shape)
    per_channel = (-1, *[1] * (x.ndim - 2))
    scale = 1 if weight is None else np.abs(weight.astype(np.float64)).reshape(per_channel)
    doubt = doubt * (1 + np.abs(out)) * scale
    if weight is not None:
        out = out * weight.astype(np.float64).reshape(per_channel)
    if bias is not None:
        out = out + bias.astype(np.float64).reshape(per_channel)
        doubt = doubt + np.abs(bias.astype(np.float64)).reshape(per_channel)
    if silu:
        out = out / (1 + np.exp(-out))
    if channels_last:
        out, doubt = np.moveaxis(out, 1, -1), np.moveaxis(doubt, 1, -1)
    return (out, doubt) if details else out


def random(shape, dtype=np.float32, seed=0, mean=0.0):
    return (mean + np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


@settings(max_examples=150, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    batch=st.integers(0, 3),
    groups=st.integers(1, 8),
    per_group=st.integers(1, 23),
    positions=st.lists(st.integers(1, 11), max_size=3),
    channels_last=st.booleans(),
    dtypes=st.sampled_from([("f4", "f4"), ("f2", "f4"), ("f2", "f2")]),
    parameters=st.tuples(st.booleans(), st.booleans()),
    silu=st.booleans(),
    mean=st.sampled_from([0.0, 3.0, 1e3]),
    threads=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_equals_float64(
    isa,
    batch,
    groups,
    per_group,
    positions,
    channels_last,
    dtypes,
    parameters,
    silu,
    mean,
    threads,
    seed,
):
    channels = groups * per_group
    shape = (batch, *positions, channels) if channels_last else (batch, channels, *positions)
    x = random(shape, dtypes[0], seed, mean)
    weight = random(channels, dtypes[1], seed + 1) if parameters[0] else None
    bias = random(channels, dtypes[1], seed + 2) if parameters[1] else None
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    out = kernels.group_norm_silu(x, weight, bias, groups, silu=silu, channels_last=channels_last)
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    if x.size == 0:
        return
    expected, doubt = float64(x, weight, bias, groups, 1e-5, silu, channels_last, details=True)
    storage = float(np.finfo(x.dtype).eps)
    bound = 4e-7 * doubt + storage * np.abs(expected) + 1e-7
    assert np.all(np.abs(out - expected) <= bound), np.max(np.abs(out - expected) / bound)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_mean_large_beside_the_deviation_costs_nothing(isa, channels_last):
    """E[x^2] - E[x]^2 in float32 would be noise here."""
    x = random((2, 640, 10) if channels_last else (2, 10, 640), mean=1e4)
    out = kernels.group_norm_silu(x, None, None, 5, silu=False, channels_last=channels_last)
    expected = float64(x, None, None, 5, 1e-5, False, channels_last)
    assert np.abs(out - expected).max() < 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_threads_do_not_change_a_bit(isa, dtype):
    for channels_last, shape in ((False, (1, 64, 5000)), (True, (1, 5000, 64))):
        x = random(shape, dtype)
        kernels.set_num_threads(1)
        alone = kernels.group_norm_silu(x, None, None, 32, channels_last=channels_last)
        for threads in (2, 3, 8):
            kernels.set_num_threads(threads)
            together = kernels.group_norm_silu(x, None, None, 32, channels_last=channels_last)
            np.testing.assert_array_equal(alone.view(np.uint8), together.view(np.uint8))


def test_in_place(isa):
    x = random((2, 32, 50))
    expected = kernels.group_norm_silu(x, None, None, 8)
    assert kernels.group_norm_silu(x, None, None, 8, out=x) is x
    np.testing.assert_array_equal(x, expected)


def tensors(dtype=torch.float32, grad=False, channels_last=False):
    generator = torch.Generator().manual_seed(1)
    shape = (2, 5, 6, 24) if channels_last else (2, 24, 5, 6)
    x = torch.randn(shape, generator=generator).to(dtype)
    weight, bias = (torch.randn(24, generator=generator).to(dtype) for _ in range(2))
    return tuple(t.requires_grad_(grad) for t in (x, weight, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(dtype, grad):
    torch.library.opcheck(op, (*tensors(dtype, grad), 6))
    torch.library.opcheck(op, (*tensors(dtype, grad, True), 6, 1e-6, False, True))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("silu", [False, True])
def test_gradients_are_those_of_torch(channels_last, silu):
    mine, theirs = (tensors(grad=True, channels_last=channels_last) for _ in range(2))
    out = op(*mine, 6, 1e-5, silu, channels_last)
    x = theirs[0].movedim(-1, 1) if channels_last else theirs[0]
    want = F.group_norm(x, 6, theirs[1], theirs[2])
    want = F.silu(want) if silu else want
    want = want.movedim(1, -1) if channels_last else want
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-5)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    (out * weight).sum().backward()
    (want * weight).sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)


class Norms(torch.nn.Module):
    def __init__(self, dtype):
        super().__init__()
        _, weight, bias = tensors(dtype)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x):
        x = kernels.group_norm_silu(x, self.weight, self.bias, 6)
        return kernels.group_norm_silu(x, None, None, 3, 1e-6, False, channels_last=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_program_gives_the_same_bits(dtype):
    x = tensors(dtype)[0]
    module = Norms(dtype)
    torch.testing.assert_close(run_as_program(module, (x,)), module(x), rtol=0, atol=0)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), rtol=0, atol=0)
    targets = [node.target for node in torch.export.export(module, (x,)).graph.nodes]
    assert targets.count(op) == 2


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda a: a.update(x=a["x"].astype(np.float64)), TypeError, "x: expected float32 or"),
        (lambda a: a.update(x=a["x"][:, :, ::2]), ValueError, "C-contiguous"),
        (lambda a: a.update(num_groups=5), ValueError, "num_groups: expected a divisor of the 24"),
        (lambda a: a.update(num_groups=0), ValueError, "num_groups"),
        (lambda a: a.update(weight=a["weight"][:5]), ValueError, "weight: expected"),
        (lambda a: a.update(weight=a["weight"].astype(np.float16)), TypeError, "weight: expected"),
        (lambda a: a.update(eps=0.0), ValueError, "eps must be positive"),
        (lambda a: a.update(out=a["x"][:1]), ValueError, "out: expected the shape of x"),
        (lambda a: a.update(x=a["x"][0, 0]), ValueError, "x: expected"),
        (lambda a: a.update(weight=torch.zeros(24)), TypeError, "weight: expected a numpy array"),
        (lambda a: a.update(x=[1.0]), TypeError, "x: expected a numpy array or a torch"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    arguments = {"x": random((2, 24, 8)), "weight": random(24), "bias": None, "num_groups": 6}
    change(arguments)
    with pytest.raises(error, match=says):
        kernels.group_norm_silu(**arguments)


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_what_the_kernel_refuses_is_not_exported(name):
    x, wrong = torch.zeros(2, 5, 32, device="meta"), torch.zeros(1, 32, device="meta")
    with pytest.raises(ValueError, match=rf"{name}: expected \[32\], got \(1, 32\)"):
        torch.ops.mobilevd.group_norm_silu(
            x, **{"weight": None, "bias": None, name: wrong}, num_groups=4, channels_last=True
        )
