"""temporal_attention as a torch operator: registration, gradients, export, compile."""

from __future__ import annotations

import numpy as np
import pytest
from temporal_attention_reference import temporal_attention_float64, tolerance

torch = pytest.importorskip("torch")

from mobilevd import kernels  # noqa: E402
from mobilevd.kernels import torch_ops  # noqa: E402

op = torch_ops.temporal_attention


def tensors(*, dtype=torch.float32, d_qk=16, d_v=24, grad=False):
    generator = torch.Generator().manual_seed(3)

    def one(width):
        x = torch.randn(2, 14, 5, 3 * width, generator=generator).to(dtype)
        return x.requires_grad_(grad)

    return one(d_qk), one(d_qk), one(d_v)


def eager(q, k, v, heads, scale=None):
    """The same in torch's own operators."""
    q, k, v = (x.unflatten(3, (heads, -1)).permute(0, 2, 3, 1, 4) for x in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale)
    return out.permute(0, 3, 1, 2, 4).flatten(3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(dtype, grad):
    torch.library.opcheck(op, (*tensors(dtype=dtype, grad=grad), 3))
    torch.library.opcheck(op, (*tensors(dtype=dtype, grad=grad), 3, 0.25))


def test_opcheck_out():
    q, k, v = tensors()
    torch.library.opcheck(
        torch_ops.temporal_attention_out,
        (q, k, v, 3),
        {"out": torch.empty_like(v)},
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_float64(isa, dtype):
    q, k, v = tensors(dtype=dtype)
    out = kernels.temporal_attention(q, k, v, 3)
    expected = temporal_attention_float64(q.numpy(), k.numpy(), v.numpy(), 3)
    np.testing.assert_allclose(out.numpy(), expected, rtol=0, atol=tolerance(v.numpy()))


def test_out_is_the_given_tensor():
    q, k, v = tensors()
    out = torch.full_like(v, torch.nan)
    address = out.data_ptr()
    assert kernels.temporal_attention(q, k, v, 3, out=out) is out
    assert out.data_ptr() == address
    torch.testing.assert_close(out, op(q, k, v, 3), rtol=0, atol=0)


def test_gradients_are_those_of_torch():
    mine, theirs = tensors(grad=True), tensors(grad=True)
    weight = torch.randn(2, 14, 5, 72, generator=torch.Generator().manual_seed(1))
    (op(*mine, 3, 0.3) * weight).sum().backward()
    (eager(*theirs, 3, 0.3) * weight).sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_second_gradients():
    mine, theirs = tensors(grad=True), tensors(grad=True)
    for function, x in ((op, mine), (eager, theirs)):
        (first,) = torch.autograd.grad(function(*x, 3).square().sum(), x[0], create_graph=True)
        first.square().sum().backward()
    torch.testing.assert_close(mine[1].grad, theirs[1].grad, rtol=1e-3, atol=1e-4)


class Layer(torch.nn.Module):
    def forward(self, q, k, v):
        return 2 * kernels.temporal_attention(q, k, v, 3)


def test_export_keeps_one_node():
    q, k, v = tensors()
    program = torch.export.export(Layer(), (q, k, v))
    nodes = [n for n in program.graph.nodes if n.target is op]
    assert len(nodes) == 1
    torch.testing.assert_close(program.module()(q, k, v), Layer()(q, k, v), rtol=0, atol=0)


def test_compile_without_graph_breaks():
    x = tensors(grad=True)
    compiled = torch.compile(Layer(), fullgraph=True, backend="aot_eager")
    out = compiled(*x)
    torch.testing.assert_close(out, Layer()(*x), rtol=0, atol=0)
    out.sum().backward()
    assert x[0].grad is not None


def test_autocast_computes_in_float32():
    x = tensors()
    with torch.autocast("cpu", torch.bfloat16):
        out = op(*(t.bfloat16() for t in x), 3)
    assert out.dtype == torch.float32


def test_meta_tensors_give_shapes():
    q, k, v = (x.to("meta") for x in tensors())
    assert op(q, k, v, 3).shape == v.shape


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda q, k, v: (q.double(), k.double(), v.double()), TypeError, "float32 or float16"),
        (lambda q, k, v: (q.bfloat16(), k, v), TypeError, "q: expected float32 or float16"),
        (lambda q, k, v: (q, k.half(), v), TypeError, "k: expected the dtype of q"),
        (lambda q, k, v: (q.mT.contiguous().mT, k, v), ValueError, "C-contiguous"),
        (lambda q, k, v: (q, k[:, :3].contiguous(), v), ValueError, "k: expected the shape of q"),
        (lambda q, k, v: (q, k.numpy(), v), TypeError, "k: expected a torch tensor"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    with pytest.raises(error, match=says):
        kernels.temporal_attention(*change(*tensors()), 3)


def test_fake_kernel_refuses_wrong_heads():
    q, k, v = (x.to("meta") for x in tensors())
    with pytest.raises(ValueError, match="num_heads = 5"):
        op(q, k, v, 5)
