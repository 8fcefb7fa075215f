"""Collapsing cross-attention is lossless for one token, and says so in the config."""

import pytest
import torch
from mobilevd.compress.cross_attention import collapse_cross_attention
from mobilevd.compress.flops import count
from mobilevd.models import create_unet
from mobilevd.presets import get_preset


@torch.no_grad()
def test_same_function_fewer_parameters():
    torch.manual_seed(0)
    unet = create_unet("mini").double()
    collapsed = collapse_cross_attention(unet)
    config = unet.config
    args = (
        torch.randn(2, 3, 8, 16, 16, dtype=torch.float64),
        torch.tensor([0.3, 1.2]),
        torch.randn(2, 1, config.cross_attention_dim, dtype=torch.float64),
        torch.randn(2, 3),
    )
    torch.testing.assert_close(collapsed(*args), unet(*args), rtol=1e-12, atol=1e-12)
    names = set(unet.state_dict()) - set(collapsed.state_dict())
    assert names
    assert all(".norm2." in n or ".attn2.to_q." in n or ".attn2.to_k." in n for n in names)
    assert collapsed.config.collapsed_cross_attention
    again = create_unet(collapsed.config)
    again.load_state_dict(collapsed.state_dict())
    with pytest.raises(ValueError, match="already"):
        collapse_cross_attention(collapsed)


@pytest.mark.parametrize("name", ["svd-512x256", "svd-1024x576"])
def test_flops_of_the_paper(name):
    row = count(get_preset(name))
    assert row["tflops"] == pytest.approx(row["paper_tflops"], rel=0.03)
    assert row["params"] == 1524623082
