"""group_norm_silu as a torch operator: registration, gradients, export, compile, ExecuTorch."""

from __future__ import annotations

import numpy as np
import pytest
from group_norm_silu_reference import group_norm_silu_float64, tolerance

torch = pytest.importorskip("torch")

from mobilevd import kernels  # noqa: E402
from mobilevd.kernels import torch_ops  # noqa: E402

op = torch_ops.group_norm_silu
EPS = 1e-5


def tensors(*, shape=(2, 12, 5, 3), channels=12, dtype=torch.float32, parameters=None, grad=False):
    generator = torch.Generator().manual_seed(3)

    def one(size, mean, kind):
        x = torch.randn(size, generator=generator) + mean
        return x.to(kind).requires_grad_(grad)

    parameters = parameters or dtype
    return one(shape, 0.3, dtype), one(channels, 1, parameters), one(channels, 0, parameters)


def eager(x, weight, bias, groups, eps, silu=True, channels_last=False):
    """The same in torch's own operators."""
    y = x.movedim(-1, 1) if channels_last else x
    y = torch.nn.functional.group_norm(y, groups, weight, bias, eps)
    y = torch.nn.functional.silu(y) if silu else y
    return y.movedim(1, -1) if channels_last else y


LAYOUTS = [(False, (2, 12, 5, 3)), (True, (2, 5, 3, 12)), (False, (3, 12)), (True, (3, 12))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(dtype, grad):
    x, weight, bias = tensors(dtype=dtype, grad=grad)
    torch.library.opcheck(op, (x, weight, bias, 4, EPS))
    torch.library.opcheck(op, (x, None, bias, 4, EPS, False))
    last = x.detach().movedim(1, -1).contiguous().requires_grad_(grad)
    torch.library.opcheck(op, (last, weight, None, 4, EPS, True, True))


def test_opcheck_out():
    x, weight, bias = tensors()
    torch.library.opcheck(
        torch_ops.group_norm_silu_out,
        (x, weight, bias, 4, EPS),
        {"out": torch.empty_like(x)},
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.parametrize(
    ("dtype", "parameters"),
    [
        (torch.float32, torch.float32),
        (torch.float16, torch.float16),
        (torch.float16, torch.float32),
    ],
)
def test_equals_float64(isa, dtype, parameters):
    x, weight, bias = tensors(dtype=dtype, parameters=parameters)
    out = kernels.group_norm_silu(x, weight, bias, 4, EPS)
    expected = group_norm_silu_float64(x.numpy(), weight.numpy(), bias.numpy(), 4, EPS)
    np.testing.assert_allclose(
        out.numpy(), expected, rtol=0, atol=tolerance(expected, out.numpy().dtype)
    )


def test_out_is_the_given_tensor_and_may_be_x():
    x, weight, bias = tensors()
    expected = op(x, weight, bias, 4, EPS)
    out = torch.full_like(x, torch.nan)
    assert kernels.group_norm_silu(x, weight, bias, 4, EPS, out=out) is out
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    assert kernels.group_norm_silu(x, weight, bias, 4, EPS, out=x) is x
    torch.testing.assert_close(x, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("channels_last", "shape"), LAYOUTS)
@pytest.mark.parametrize("silu", [False, True])
def test_gradients_are_those_of_torch(channels_last, shape, silu):
    mine, theirs = tensors(shape=shape, grad=True), tensors(shape=shape, grad=True)
    factor = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for function, given in ((op, mine), (eager, theirs)):
        (function(*given, 4, EPS, silu, channels_last) * factor).sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_second_gradients_without_weight():
    mine, theirs = tensors(grad=True), tensors(grad=True)
    ones = torch.ones(12)  # torch's own second gradient fails without a weight
    for function, weight, (x, _, bias) in ((op, None, mine), (eager, ones, theirs)):
        value = function(x, weight, bias, 4, EPS).pow(3).sum()
        (first,) = torch.autograd.grad(value, x, create_graph=True)
        first.square().sum().backward()
    torch.testing.assert_close(mine[0].grad, theirs[0].grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mine[2].grad, theirs[2].grad, rtol=1e-3, atol=1e-3)


class Layer(torch.nn.Module):
    def __init__(self, channels_last=False):
        super().__init__()
        self.channels_last = channels_last
        _, weight, bias = tensors()
        self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)

    def forward(self, x):
        return 2 * kernels.group_norm_silu(
            x, self.weight, self.bias, 4, EPS, channels_last=self.channels_last
        )


def test_export_keeps_one_node():
    x, _, _ = tensors()
    program = torch.export.export(Layer(), (x,))
    assert len([n for n in program.graph.nodes if n.target is op]) == 1
    torch.testing.assert_close(program.module()(x), Layer()(x), rtol=0, atol=0)


def test_compile_without_graph_breaks():
    x, _, _ = tensors(grad=True)
    layer = Layer()
    out = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(out, layer(x), rtol=0, atol=0)
    out.sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None


@pytest.mark.parametrize(("channels_last", "shape"), LAYOUTS)
def test_executorch_gives_the_same_bits(channels_last, shape):
    from executorch.exir import to_edge
    from executorch.runtime import Runtime
    from mobilevd.runtime import ops_library

    torch.ops.load_library(str(ops_library()))
    x, _, _ = tensors(shape=shape)
    layer = Layer(channels_last).eval()
    program = to_edge(torch.export.export(layer, (x,))).to_executorch()
    operators = program.executorch_program.execution_plan[0].operators
    assert "mobilevd::group_norm_silu" in {o.name for o in operators}
    (got,) = Runtime.get().load_program(program.buffer).load_method("forward").execute([x])
    torch.testing.assert_close(got, layer(x).detach(), rtol=0, atol=0)


def test_autocast_computes_in_float32():
    with torch.autocast("cpu", torch.bfloat16):
        out = op(*(t.bfloat16() for t in tensors()), 4, EPS)
    assert out.dtype == torch.float32


def test_meta_tensors_give_shapes():
    x, weight, bias = (t.to("meta") for t in tensors())
    assert op(x, weight, bias, 4, EPS).shape == x.shape


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda x, w, b: (x.double(), w, b), TypeError, "x: expected float32 or float16"),
        (lambda x, w, b: (x.bfloat16(), w, b), TypeError, "x: expected float32 or float16"),
        (lambda x, w, b: (x, w.half(), b), TypeError, "weight: expected the dtype of x"),
        (lambda x, w, b: (x, w, b[:-1].clone()), ValueError, "bias: expected the 12 channels"),
        (lambda x, w, b: (x.mT, w, b), ValueError, "C-contiguous"),
        (lambda x, w, b: (x, w.numpy(), b), TypeError, "weight: expected a torch tensor"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    with pytest.raises(error, match=says):
        kernels.group_norm_silu(*change(*tensors()), 4, EPS)


@pytest.mark.parametrize(
    ("groups", "eps", "says"), [(5, EPS, "divisor of the 12"), (4, 0.0, "eps: expected")]
)
def test_fake_kernel_refuses_what_the_kernel_does(groups, eps, says):
    x, weight, bias = (t.to("meta") for t in tensors())
    with pytest.raises(ValueError, match=says):
        op(x, weight, bias, groups, eps)
