"""temporal_attention_block as a torch operator and as an ExecuTorch operator."""

from __future__ import annotations

import numpy as np
import pytest
from programs import lowered, run_program
from temporal_attention_block_reference import added_float64, problem, tolerance

torch = pytest.importorskip("torch")

from mobilevd import kernels  # noqa: E402
from mobilevd.kernels import torch_ops  # noqa: E402
from mobilevd.models import UNetConfig  # noqa: E402
from mobilevd.models.transformer import TemporalBlock  # noqa: E402

op = torch_ops.temporal_attention_block
PRECISIONS = pytest.mark.parametrize("precision", ["float32", "int8"])


def tensors(precision="float32"):
    """x, packed weights, and both as numpy arrays."""
    x, weights = problem((2, 7, 5), 40, 3, 16, 24)
    packed = kernels.pack_temporal_attention_block(*map(torch.tensor, weights), 3, precision)
    return torch.tensor(x), packed, x, weights


class Block(torch.nn.Module):
    """How a model holds packed weights: buffers, hence constants of its program."""

    def __init__(self, packed):
        super().__init__()
        for name, weight in packed._asdict().items():
            if weight is None:
                setattr(self, name, None)  # torch.export trips over a buffer that is None
            else:
                self.register_buffer(name, weight)

    def forward(self, x):
        names = kernels.PackedTemporalAttentionBlock._fields
        packed = kernels.PackedTemporalAttentionBlock(*(getattr(self, n) for n in names))
        return kernels.temporal_attention_block(x + 1, packed, 3, 0.2)


@PRECISIONS
def test_opcheck(precision):
    x, packed, *_ = tensors(precision)
    torch.library.opcheck(op, (x, *packed, 3))
    torch.library.opcheck(op, (x, *packed, 3, 0.25, 1e-3))
    torch.library.opcheck(
        torch_ops.temporal_attention_block_out,
        (x, *packed, 3),
        {"out": torch.empty_like(x)},
        test_utils=("test_schema", "test_faketensor"),
    )


def test_equals_float64(isa):
    x, packed, array, weights = tensors()
    added = added_float64(array, weights, 3)
    atol = tolerance(added, weights.to_out_bias, 40, 72)
    out = kernels.temporal_attention_block(x, packed, 3)
    np.testing.assert_allclose(out.numpy(), array + added, rtol=1e-6, atol=atol)


@PRECISIONS
def test_tensors_and_arrays_give_the_same(precision):
    x, packed, array, weights = tensors(precision)
    mine = kernels.temporal_attention_block(x, packed, 3)
    packed_arrays = kernels.pack_temporal_attention_block(*weights, 3, precision)
    theirs = kernels.temporal_attention_block(array, packed_arrays, 3)
    np.testing.assert_array_equal(mine.numpy(), theirs)
    for a, b in zip(packed, packed_arrays, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a.numpy(), b)


PATH = "mid_block.attentions.0.temporal_transformer_blocks.0"


@pytest.mark.parametrize("widths", [(), ((f"{PATH}.attn1", 8, 24),)])
def test_is_the_model_s_own_block(widths):
    """norm1 and attn1 of a temporal block, as it is and with merged funnels."""
    config = UNetConfig(attention_widths=widths)
    torch.manual_seed(0)
    block = TemporalBlock(64, 2, config, PATH).eval()
    attention = block.attn1
    x = torch.randn(1, 7, 6, 64)
    with torch.no_grad():
        for p in block.parameters():
            p.add_(0.1 * torch.randn_like(p))
        want = x + attention(block.norm1(x))
        packed = kernels.pack_temporal_attention_block(
            block.norm1.weight,
            block.norm1.bias,
            attention.to_q.weight,
            attention.to_k.weight,
            attention.to_v.weight,
            attention.to_out.weight,
            attention.to_out.bias,
            attention.num_heads,
        )
        got = kernels.temporal_attention_block(
            x, packed, attention.num_heads, attention.scale, block.norm1.eps
        )
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@PRECISIONS
def test_out_is_the_given_tensor(precision):
    x, packed, *_ = tensors(precision)
    out = torch.full_like(x, torch.nan)
    assert kernels.temporal_attention_block(x, packed, 3, out=out) is out
    torch.testing.assert_close(out, op(x, *packed, 3), rtol=0, atol=0)


@PRECISIONS
def test_export_keeps_one_node_and_constants(precision):
    x, packed, *_ = tensors(precision)
    block = Block(packed)
    program = torch.export.export(block, (x,))
    assert len([n for n in program.graph.nodes if n.target is op]) == 1
    assert "to_qkv" in program.state_dict
    torch.testing.assert_close(program.module()(x), block(x), rtol=0, atol=0)


@PRECISIONS
def test_compile_without_graph_breaks(precision):
    x, packed, *_ = tensors(precision)
    block = Block(packed)
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), block(x), rtol=0, atol=0)


@PRECISIONS
def test_executorch_gives_the_bits_of_the_kernel(precision):
    x, packed, *_ = tensors(precision)
    block = Block(packed)
    program = lowered(block, (x,))
    operators = program.executorch_program.execution_plan[0].operators
    assert ("mobilevd::temporal_attention_block", "out") in {
        (op.name, op.overload) for op in operators
    }
    (out,) = run_program(program.buffer, (x,))
    torch.testing.assert_close(out, block(x), rtol=0, atol=0)


def test_autocast_computes_in_float32():
    x, packed, *_ = tensors("int8")
    with torch.autocast("cpu", torch.bfloat16):
        out = op(x.bfloat16(), *packed, 3)
    assert out.dtype == torch.float32


@PRECISIONS
def test_meta_tensors_give_shapes(precision):
    x, packed, *_ = tensors(precision)
    meta = [None if w is None else w.to("meta") for w in packed]
    assert op(x.to("meta"), *meta, 3).shape == x.shape
    with pytest.raises(ValueError, match="weights packed for 8 channels"):
        op(x[..., :8].to("meta"), *meta, 3)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda x, w: (x.double(), w), TypeError, "x: expected float32"),
        (lambda x, w: (x.bfloat16(), w), TypeError, "x: expected float32"),
        (lambda x, w: (x.half(), w), TypeError, "x: expected float32"),
        (lambda x, w: (x.mT.contiguous().mT, w), ValueError, "C-contiguous"),
        (lambda x, w: (x, w._replace(to_out=w.to_out.numpy())), TypeError, "expected a torch t"),
        (lambda x, w: (x, w._replace(to_qkv_scale=x[0, 0, 0])), ValueError, "have no scales"),
    ],
)
def test_bad_input_says_what_is_wrong(change, error, says):
    x, packed, *_ = tensors()
    with pytest.raises(error, match=says):
        kernels.temporal_attention_block(*change(x, packed), 3)
