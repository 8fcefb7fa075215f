"""Collapsing cross-attention is lossless for one token, and says so in the config."""

import pytest
import torch
from mobilevd.compress.cross_attention import collapse_cross_attention
from mobilevd.compress.flops import count
from mobilevd.models import create_unet
from mobilevd.presets import get_preset
from small_unets import arguments, small_unet


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
    for kind in (".transformer_blocks.", ".temporal_transformer_blocks."):
        assert sum(kind in n for n in names) == 10 * 4  # norm2 has two
    assert collapsed.config.collapsed_cross_attention
    again = create_unet(collapsed.config)
    again.load_state_dict(collapsed.state_dict())
    with pytest.raises(ValueError, match="already"):
        collapse_cross_attention(collapsed)


@torch.no_grad()
def test_the_vector_is_computed_once():
    """One row per clip goes through the projections, whatever the frames and positions."""
    unet = collapse_cross_attention(small_unet())
    rows = []
    for name, module in unet.named_modules():
        if name.endswith(("attn2.to_v", "attn2.to_out")):
            module.register_forward_hook(lambda m, i, o: rows.append(tuple(o.shape[:-1])))
    unet(*arguments(batch=2))
    transformers = sum(name.endswith(".attn2") for name, _ in unet.named_modules())
    assert rows == [(2, 1)] * (2 * transformers)
    assert transformers > 10


@pytest.mark.parametrize("name", ["svd-512x256", "svd-1024x576"])
def test_flops_of_the_paper(name):
    row = count(get_preset(name))
    assert row["tflops"] == pytest.approx(row["paper_tflops"], rel=0.03)
    assert row["params"] == 1524623082
