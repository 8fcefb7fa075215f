"""conv2d_3x3 and temporal_conv against float64, as torch operators and as ExecuTorch ops."""

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

ACTIVATIONS = [None, "silu", "relu"]
DTYPES = [(np.float32, np.float32), (np.float32, np.float16), (np.float16, np.float16)]


def random(shape, dtype=np.float32, seed=0, scale=1.0, offset=0):
    flat = np.random.default_rng(seed).standard_normal(int(np.prod(shape)) + offset)
    return (scale * flat).astype(dtype)[offset:].reshape(shape)


def float64(x, weight, bias, residual, activation, stride=1):
    """The definition by torch in float64: weight [out, in, 3, 3], or [out, in, 3] over frames."""
    x, weight = torch.from_numpy(x).double(), torch.from_numpy(weight).double()
    if weight.dim() == 4:
        out = F.conv2d(x.movedim(3, 1), weight, padding=1, stride=stride).movedim(1, 3)
    else:
        out = F.conv2d(x.movedim(3, 1), weight.unsqueeze(3), padding=(1, 0)).movedim(1, 3)
    if bias is not None:
        out = out + torch.from_numpy(bias).double()
    if residual is not None:
        out = out + torch.from_numpy(residual).double()
    return {None: lambda y: y, "silu": F.silu, "relu": F.relu}[activation](out).numpy()


def tolerance(x, weight, expected, winograd):
    """Float32 sums of products: a share of the largest sum of absolute products (bounded by its
    factors' sizes), which Winograd's transforms enlarge; and the rounding of the storage."""
    terms = weight[0].size
    magnitude = terms * float(np.abs(x).mean()) * float(np.abs(weight).mean()) if x.size else 0
    storage = float(np.finfo(x.dtype).eps)
    return (8e-6 if winograd else 2e-6) * (magnitude + 1) + storage * (np.abs(expected) + 1e-4)


@settings(max_examples=80, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    size=st.tuples(st.integers(0, 3), st.integers(1, 13), st.integers(1, 13)),
    channels=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    dtypes=st.sampled_from(DTYPES),
    with_bias=st.booleans(),
    with_residual=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    stride=st.sampled_from([1, 2]),
    threads=st.integers(1, 4),
    offset=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_conv2d_equals_float64(
    isa, size, channels, dtypes, with_bias, with_residual, activation, stride, threads, offset, seed
):
    cin, cout = channels
    x = random((*size, cin), dtypes[0], seed, offset=offset)
    weight = random((cout, cin, 3, 3), dtypes[1], seed + 1, (9 * cin) ** -0.5)
    shape = (size[0], -(-size[1] // stride), -(-size[2] // stride), cout)
    bias = random((cout,), seed=seed + 2) if with_bias else None
    residual = random(shape, dtypes[0], seed + 3, offset=offset) if with_residual else None
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    packed = kernels.pack_conv_weight(weight)
    out = kernels.conv2d_3x3(x, packed, cout, bias, residual, activation, stride)
    assert out.shape == shape
    assert out.dtype == x.dtype
    expected = float64(x, weight, bias, residual, activation, stride)
    bound = tolerance(x, weight, expected, winograd=True)
    assert np.all(np.abs(out - expected) <= bound), np.max(np.abs(out - expected) - bound)


@settings(max_examples=60, deadline=None)
@given(
    isa=st.sampled_from(kernels.available_isas()),
    size=st.tuples(st.integers(0, 2), st.integers(1, 15), st.integers(0, 33)),
    channels=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    dtypes=st.sampled_from(DTYPES),
    extras=st.tuples(st.booleans(), st.booleans(), st.sampled_from(ACTIVATIONS)),
    threads=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_temporal_conv_equals_float64(isa, size, channels, dtypes, extras, threads, seed):
    cin, cout = channels
    x = random((*size, cin), dtypes[0], seed)
    weight = random((cout, cin, 3), dtypes[1], seed + 1, (3 * cin) ** -0.5)
    bias = random((cout,), seed=seed + 2) if extras[0] else None
    residual = random((*size, cout), dtypes[0], seed + 3) if extras[1] else None
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)
    packed = kernels.pack_conv_weight(weight[..., None, None])
    out = kernels.temporal_conv(x, packed, cout, bias, residual, extras[2])
    if x.size == 0:
        assert out.shape == (*size, cout)
        return
    expected = float64(x, weight, bias, residual, extras[2])
    bound = tolerance(x, weight, expected, winograd=False)
    assert np.all(np.abs(out - expected) <= bound), np.max(np.abs(out - expected) - bound)


def test_winograd_error_at_the_models_width():
    """Relative L2 against float64 of the widest first-level ResBlock convolution."""
    x, weight = random((1, 8, 8, 960)), random((64, 960, 3, 3), seed=1, scale=(9 * 960) ** -0.5)
    out = kernels.conv2d_3x3(x, kernels.pack_conv_weight(weight), 64)
    expected = float64(x, weight, None, None, None)
    assert np.linalg.norm(out - expected) / np.linalg.norm(expected) < 3e-6


def tensors(dtypes, *, frames=False):
    x = torch.from_numpy(random((2, 5, 6, 24), dtypes[0]))
    weight = random((20, 24, 3) if frames else (20, 24, 3, 3), dtypes[1], 1, 0.1)
    packed = torch.from_numpy(kernels.pack_conv_weight(weight))
    return x, packed, torch.from_numpy(random((20,), seed=2)), x[..., :20].contiguous()


@pytest.mark.parametrize("dtypes", DTYPES)
def test_opcheck(dtypes):
    x, packed, bias, residual = tensors(dtypes)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(
        torch_ops.conv2d_3x3, (x, packed, 20, bias, residual, "silu", 1), test_utils=checks
    )
    torch.library.opcheck(torch_ops.conv2d_3x3, (x, packed, 20), {"stride": 2}, test_utils=checks)
    x, packed, bias, residual = tensors(dtypes, frames=True)
    torch.library.opcheck(
        torch_ops.temporal_conv, (x, packed, 20, bias, residual, "relu"), test_utils=checks
    )
    out = torch.empty(2, 5, 6, 20, dtype=x.dtype)
    torch.library.opcheck(
        torch_ops.temporal_conv_out, (x, packed, 20), {"out": out}, test_utils=checks
    )


class Layers(torch.nn.Module):
    """Both operators with everything they take; weights are constants of the program."""

    def __init__(self, dtypes):
        super().__init__()
        _, conv, bias, _ = tensors(dtypes)
        self.register_buffer("conv", conv)
        self.register_buffer("bias", bias)
        temporal = random((20, 20, 3), dtypes[1], 5, 0.1)
        self.register_buffer("temporal", torch.from_numpy(kernels.pack_conv_weight(temporal)))

    def forward(self, x):
        x = kernels.conv2d_3x3(x, self.conv, 20, self.bias, activation="silu")
        x = kernels.temporal_conv(x, self.temporal, 20, self.bias, x, "relu")
        return kernels.conv2d_3x3(x, self.conv[:, :, :20].contiguous(), 20, stride=2)


@pytest.mark.parametrize("dtypes", DTYPES)
def test_program_gives_the_same_bits(dtypes):
    x = tensors(dtypes)[0]
    layers = Layers(dtypes)
    torch.testing.assert_close(run_as_program(layers, (x,)), layers(x), rtol=0, atol=0)


def test_compile_and_export_keep_the_ops():
    layers, x = Layers(DTYPES[0]), tensors(DTYPES[0])[0]
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layers(x), rtol=0, atol=0)
    graph = torch.export.export(layers, (x,)).graph
    targets = [node.target for node in graph.nodes]
    assert targets.count(torch_ops.conv2d_3x3) == 2
    assert targets.count(torch_ops.temporal_conv) == 1


def test_residual_may_be_out():
    x, packed, bias, residual = tensors(DTYPES[0])
    expected = kernels.conv2d_3x3(x, packed, 20, bias, residual)
    assert kernels.conv2d_3x3(x, packed, 20, bias, residual, out=residual) is residual
    torch.testing.assert_close(residual, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda a: a.update(x=a["x"].astype(np.float64)), TypeError, "x: expected float32 or"),
        (lambda a: a.update(x=a["x"][..., ::2]), ValueError, "C-contiguous"),
        (lambda a: a.update(weight=a["weight"][:1]), ValueError, "weight: expected the packed"),
        (lambda a: a.update(x=a["x"].astype(np.float16)), TypeError, "weight: expected the dtype"),
        (lambda a: a.update(bias=np.zeros(3, np.float32)), ValueError, "bias: expected"),
        (lambda a: a.update(residual=a["x"]), ValueError, "residual: expected the shape"),
        (lambda a: a.update(out=a["x"]), ValueError, "out: expected the shape"),
        (lambda a: a.update(stride=3), ValueError, "stride: expected 1 or 2"),
        (lambda a: a.update(activation="gelu"), ValueError, "activation: expected None, 'silu' or"),
        (lambda a: a.update(out_channels=0), ValueError, "out_channels: expected at least 1"),
        (lambda a: a.update(weight=torch.zeros(1)), TypeError, "weight: expected a numpy array"),
        (lambda a: a.update(weight=None), TypeError, "weight: expected a numpy array"),
        (lambda a: a.update(x=[1.0]), TypeError, "x: expected a numpy array or a torch"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    arguments = {
        "x": random((2, 5, 6, 24)),
        "weight": kernels.pack_conv_weight(random((20, 24, 3, 3))),
        "out_channels": 20,
    }
    change(arguments)
    with pytest.raises(error, match=says):
        kernels.conv2d_3x3(**arguments)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": torch.zeros(5, 24)}, "x: expected 4 dimensions, channels last"),
        ({"stride": 0}, "stride: expected 1 or 2, got 0"),
    ],
)
def test_a_tensor_without_a_result_is_refused(change, says):
    x, packed, *_ = tensors(DTYPES[0])
    arguments = {"x": x, "weight": packed, "out_channels": 20, **change}
    with pytest.raises(ValueError, match=says):
        kernels.conv2d_3x3(**arguments)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bias": torch.zeros(3, device="meta")}, r"bias: expected \[20\], got \(3,\)"),
        ({"residual": torch.zeros(2, 5, 6, 3, device="meta")}, "residual: expected the shape"),
        ({"out_channels": 0}, "out_channels: expected at least 1"),
    ],
)
def test_what_a_kernel_refuses_is_not_exported(change, says):
    x, packed, *_ = (t.to("meta") for t in tensors(DTYPES[0]))
    arguments = {"x": x, "weight": packed, "out_channels": 20, **change}
    with pytest.raises(ValueError, match=says):
        torch.ops.mobilevd.conv2d_3x3(**arguments)


def test_packing_refuses_what_is_no_array():
    with pytest.raises(TypeError, match="weight: expected a numpy array or a torch CPU tensor"):
        kernels.pack_conv_weight([[1.0]])


def test_packing_refuses_other_filters():
    with pytest.raises(ValueError, match="weight: expected"):
        kernels.pack_conv_weight(np.zeros((4, 4, 5, 5), np.float32))
