"""Temporal attention as HTP takes it: the same function, grouped or not."""

from __future__ import annotations

import pytest
import torch
from mobilevd.export import rewrites
from mobilevd.export.rewrites.htp import MOST_MATRICES, HtpTemporalAttention
from mobilevd.models import create_unet
from mobilevd.models.attention import temporal_attention
from small_networks import UNET_CONFIG


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("positions", [8, 256])
def test_grouped_columns_are_exact(positions, dtype, tolerance):
    heads, frames = 4, 5
    assert (positions * heads > MOST_MATRICES) == (positions == 256)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, frames, positions, heads * 8, generator=generator, dtype=torch.float64)
        for _ in range(3)
    )
    q, k, v = (x.to(dtype) for x in (3 * q, k, v))
    core = HtpTemporalAttention()
    core.make_mask(frames)
    got, want = core(q, k, v, heads, 0.3), temporal_attention(q, k, v, heads, 0.3)
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_all_rewrites_together_are_exact():
    torch.manual_seed(0)
    unet = create_unet(UNET_CONFIG).double().eval()
    prepared = rewrites.prepare(unet, "qnn")
    shapes = ((1, 4, 8, 32, 24), (1, 32), (1, 1, 24), (1, 48))
    arguments = [torch.randn(shape).double() for shape in shapes]
    assert any(isinstance(m, HtpTemporalAttention) for m in prepared.modules())
    want = unet.forward_sinusoids(*arguments)
    torch.testing.assert_close(prepared.forward_sinusoids(*arguments), want, rtol=1e-9, atol=1e-9)
