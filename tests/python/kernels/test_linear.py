"""linear against float64, as a torch operator and as an ExecuTorch op."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from mobilevd import kernels  # noqa: E402
from mobilevd.compress import flops  # noqa: E402, F401 - registers the FLOP formulas
from mobilevd.kernels import torch_ops  # noqa: E402
from programs import run_as_program  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

DTYPES = [(np.float32, np.float32), (np.float32, np.float16), (np.float16, np.float16)]
ACTIVATIONS = [None, "silu", "geglu"]


def random(shape, dtype=np.float32, seed=0, scale=1.0, offset=0):
    flat = np.random.default_rng(seed).standard_normal(int(np.prod(shape)) + offset)
    return (scale * flat).astype(dtype)[offset:].reshape(shape)


def float64(x, weight, bias, residual, activation):
    """The definition by torch in float64."""
    out = F.linear(torch.from_numpy(x).double(), torch.from_numpy(weight).double())
    if bias is not None:
        out = out + torch.from_numpy(bias).double()
    if activation == "silu":
        out = F.silu(out)
    if activation == "geglu":
        value, gate = out.chunk(2, dim=-1)
        out = value * F.gelu(gate)
    if residual is not None:
        out = out + torch.from_numpy(residual).double()
    return out.numpy()


def tolerance(x, weight, bias, expected):
    """Float32 sums of products, a share of the largest sum of absolute values; GEGLU multiplies two
    such sums; then the rounding of the storage."""
    size = float(
        (np.abs(x.astype(np.float64)) @ np.abs(weight.T.astype(np.float64))).max(initial=0)
    )
    size += 0 if bias is None else float(np.abs(bias).max(initial=0))
    storage = float(np.finfo(x.dtype).eps)
    return 1e-6 * (size + 0.1) * (1 + size) + storage * (np.abs(expected) + 1e-4)


@settings(max_examples=200, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    leading=st.lists(st.integers(0, 9), max_size=3),
    features=st.tuples(st.integers(0, 90) | st.just(1300), st.integers(0, 80)),
    dtypes=st.sampled_from(DTYPES),
    activation=st.sampled_from(ACTIVATIONS),
    extras=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    threads=st.integers(1, 4),
    offset=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_equals_float64(isa, leading, features, dtypes, activation, extras, threads, offset, seed):
    k, n = features
    outputs = 2 * n if activation == "geglu" else n
    with_bias, with_residual, given_out = extras
    x = random((*leading, k), dtypes[0], seed, offset=offset)
    weight = random((outputs, k), dtypes[1], seed + 1, (1 + k) ** -0.5)
    bias = random((outputs,), seed=seed + 2, offset=offset) if with_bias else None
    residual = random((*leading, n), dtypes[0], seed + 3, offset=offset) if with_residual else None
    out = random((*leading, n), dtypes[0], seed + 4, offset=offset) if given_out else None
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    packed = kernels.pack_linear_weight(weight, geglu=activation == "geglu")
    got = kernels.linear(x, packed, bias, residual, activation, out, out_features=n)
    assert out is None or got is out
    assert got.shape == (*leading, n)
    assert got.dtype == x.dtype
    expected = float64(x, weight, bias, residual, activation)
    bound = tolerance(x, weight, bias, expected)
    assert np.all(np.abs(got - expected) <= bound), np.max(np.abs(got - expected) - bound)


@pytest.mark.parametrize("dtypes", DTYPES)
def test_threads_do_not_change_a_bit(isa, dtypes):
    x = random((3, 101, 700), dtypes[0])
    packed = kernels.pack_linear_weight(random((600, 700), dtypes[1], 1), geglu=True)
    kernels.set_num_threads(1)
    alone = kernels.linear(x, packed, activation="geglu", out_features=300)
    for threads in (2, 3, 8):
        kernels.set_num_threads(threads)
        together = kernels.linear(x, packed, activation="geglu", out_features=300)
        np.testing.assert_array_equal(alone.view(np.uint8), together.view(np.uint8))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_and_inf_stay_in_their_row(isa, bad, activation):
    x = random((20, 40))
    packed = kernels.pack_linear_weight(random((64, 40), seed=1), geglu=activation == "geglu")
    clean = kernels.linear(x, packed, activation=activation)
    x[7, 3] = bad
    dirty = kernels.linear(x, packed, activation=activation)
    assert not np.isfinite(dirty[7]).all()
    others = np.arange(20) != 7
    np.testing.assert_array_equal(clean[others], dirty[others])


def test_error_is_that_of_torch():
    """At the model's deepest sums, 5120 inputs, in shares of the largest output."""
    x, weight = random((64, 5120)), random((128, 5120), seed=1, scale=5120**-0.5)
    expected = float64(x, weight, None, None, None)
    ours = kernels.linear(x, kernels.pack_linear_weight(weight))
    assert np.abs(ours - expected).max() <= 6e-7 * np.abs(expected).max()


def test_residual_may_be_out():
    for array in (lambda a: a, torch.from_numpy):
        x, packed, bias = (array(a) for a in arguments().values())
        residual = array(random((2, 5, 20), seed=4))
        expected = kernels.linear(x, packed, bias, residual)
        assert kernels.linear(x, packed, bias, residual, out=residual) is residual
        np.testing.assert_array_equal(np.asarray(residual), np.asarray(expected))


def test_width_is_told_by_what_is_given():
    x, packed, bias = arguments().values()
    assert kernels.linear(x, packed).shape == (2, 5, 32)  # the padded width
    assert kernels.linear(x, packed, bias).shape == (2, 5, 20)
    assert kernels.linear(x, packed, out_features=17).shape == (2, 5, 17)
    assert kernels.linear(x, packed, residual=np.zeros((2, 5, 18), np.float32)).shape[-1] == 18
    gated = kernels.pack_linear_weight(random((40, 24)), geglu=True)
    assert kernels.linear(x, gated, np.zeros(40, np.float32), activation="geglu").shape[-1] == 20


def arguments(dtypes=DTYPES[0], geglu=False):
    weight = random((40 if geglu else 20, 24), dtypes[1], 1, 0.2)
    return {
        "x": random((2, 5, 24), dtypes[0]),
        "packed_weight": kernels.pack_linear_weight(weight, geglu),
        "bias": random((len(weight),), seed=2),
    }


def tensors(dtypes=DTYPES[0], geglu=False):
    return tuple(torch.from_numpy(a) for a in arguments(dtypes, geglu).values())


@pytest.mark.parametrize("dtypes", DTYPES)
def test_opcheck(dtypes):
    checks = ("test_schema", "test_faketensor")
    x, packed, bias = tensors(dtypes)
    residual = torch.from_numpy(random((2, 5, 20), dtypes[0]))
    op = torch_ops.linear
    torch.library.opcheck(op, (x, packed, 20, bias, residual, "silu"), test_utils=checks)
    torch.library.opcheck(op, (x, packed, 20), test_utils=checks)
    x, packed, bias = tensors(dtypes, geglu=True)
    torch.library.opcheck(op, (x, packed, 20, bias, None, "geglu"), test_utils=checks)
    torch.library.opcheck(
        torch_ops.linear_out,
        (x, packed, 20, bias, residual, "geglu"),
        {"out": torch.empty_like(residual)},
        test_utils=checks,
    )


class Layers(torch.nn.Module):
    """A feed-forward and a plain layer: everything the operator takes; weights are constants."""

    def __init__(self, dtypes):
        super().__init__()
        for name, geglu in (("expand", True), ("silu", False)):
            _, packed, bias = tensors(dtypes, geglu)
            self.register_buffer(name, packed)
            self.register_buffer(f"{name}_bias", bias)
        contract = kernels.pack_linear_weight(random((24, 20), dtypes[1], 5, 0.2))
        self.register_buffer("contract", torch.from_numpy(contract))

    def forward(self, x):
        y = kernels.linear(x, self.expand, self.expand_bias, activation="geglu")
        x = kernels.linear(y, self.contract, residual=x)
        return kernels.linear(x, self.silu, self.silu_bias, activation="silu", out_features=20)


@pytest.mark.parametrize("dtypes", DTYPES)
def test_program_gives_the_same_bits(dtypes):
    x, layers = tensors(dtypes)[0], Layers(dtypes)
    torch.testing.assert_close(run_as_program(layers, (x,)), layers(x), rtol=0, atol=0)


def test_compile_and_export_keep_the_ops():
    layers, x = Layers(DTYPES[0]), tensors()[0]
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layers(x), rtol=0, atol=0)
    graph = torch.export.export(layers, (x,)).graph
    assert [node.target for node in graph.nodes].count(torch_ops.linear) == 3


def test_counts_as_torchs_linear():
    x, packed, bias = tensors(geglu=True)
    with FlopCounterMode(display=False) as ours:
        torch_ops.linear(x, packed, 20, bias, None, "geglu")
    with FlopCounterMode(display=False) as theirs:
        F.linear(x, torch.zeros(40, 24), bias)
    assert ours.get_total_flops() == theirs.get_total_flops() > 0


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda a: {"x": a["x"].astype(np.float64)}, TypeError, "x: expected float32 or"),
        (lambda a: {"x": a["x"][..., ::2]}, ValueError, "x: expected a C-contiguous"),
        (lambda a: {"x": a["x"][..., :20].copy()}, ValueError, "packed_weight: expected"),
        (lambda a: {"x": a["x"].astype(np.float16)}, TypeError, "packed_weight: expected the dt"),
        (
            lambda a: {"packed_weight": a["packed_weight"][:1]},
            ValueError,
            "packed_weight: expected",
        ),
        (lambda a: {"activation": "geglu", "out_features": 20}, ValueError, "packed_weight: exp"),
        (lambda a: {"activation": "relu"}, ValueError, "activation: expected None, 'silu' or"),
        (lambda a: {"bias": a["bias"].astype(np.float16)}, TypeError, "bias: expected float32"),
        (lambda a: {"bias": a["bias"][:19], "out_features": 20}, ValueError, "bias: expected"),
        (lambda a: {"residual": random((2, 4, 20))}, ValueError, "residual: expected"),
        (lambda a: {"out": a["bias"]}, ValueError, "out: expected"),
        (lambda a: {"out": random((2, 5, 19)), "out_features": 20}, ValueError, "out: expected"),
        (lambda a: {"out": a["x"][..., :20]}, ValueError, "out: expected a C-contiguous"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says, as_tensors):
    given = {**arguments()}
    given |= change(given)
    if as_tensors:
        given = {
            name: torch.from_numpy(a) if isinstance(a, np.ndarray) else a
            for name, a in given.items()
        }
    with pytest.raises(error, match=says):
        kernels.linear(**given)


def test_other_kinds_are_refused():
    x, packed, bias = arguments().values()
    with pytest.raises(TypeError, match="bias: expected a numpy array as x is"):
        kernels.linear(x, packed, torch.from_numpy(bias))
    with pytest.raises(TypeError, match="packed_weight: expected a numpy array as x is, got None"):
        kernels.linear(x, None)
    with pytest.raises(TypeError, match="x: expected a numpy array or a torch CPU tensor"):
        kernels.linear([1.0], packed)


def test_overlap_is_refused():
    x = random((4, 32))
    packed = kernels.pack_linear_weight(random((32, 32)))
    with pytest.raises(ValueError, match="out must not overlap x"):
        kernels.linear(x, packed, out=x)


def test_packing_refuses_other_weights():
    with pytest.raises(ValueError, match=r"weight: expected \[out_features, in_features\]"):
        kernels.pack_linear_weight(np.zeros((4, 4, 1), np.float32))
    with pytest.raises(ValueError, match="an even number of outputs"):
        kernels.pack_linear_weight(np.zeros((3, 4), np.float32), geglu=True)
    with pytest.raises(TypeError, match="weight: expected float32 or float16"):
        kernels.pack_linear_weight(np.zeros((4, 4)))
    with pytest.raises(TypeError, match="weight: expected a numpy array or a torch CPU tensor"):
        kernels.pack_linear_weight([[1.0]])


def test_packed_weights_are_aligned():
    for weight in (random((20, 24)), random((20, 24), np.float16)):
        assert kernels.pack_linear_weight(weight).ctypes.data % 64 == 0
        assert kernels.pack_linear_weight(torch.from_numpy(weight)).data_ptr() % 64 == 0
