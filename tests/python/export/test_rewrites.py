"""Each rewrite alone, and all of them together, against the unrewritten UNet in float64."""

import copy
from dataclasses import replace

import pytest
import torch
from mobilevd.export import rewrites
from mobilevd.export.rewrites import attention
from mobilevd.export.stages import UNetStage
from mobilevd.models import create_unet
from small_networks import UNET_CONFIG

CONFIG = replace(UNET_CONFIG, num_frames=3)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    unet = create_unet(CONFIG).double().eval()
    with torch.no_grad():
        for p in unet.parameters():
            p.add_(0.05 * torch.randn_like(p))  # mix factors, norms and biases too
    return unet


def arguments(dtype):
    generator = torch.Generator().manual_seed(1)
    shapes = ((1, 3, 8, 16, 8), (1, 32), (1, 1, 24), (1, 48))
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


@pytest.mark.parametrize(
    "rewrite",
    [r for r in rewrites.UNET_REWRITES["xnnpack"] if r is not rewrites.fuse_temporal_attention],
    ids=lambda r: r.__name__,
)
@torch.no_grad()
def test_each_rewrite_is_exact(unet, rewrite):
    changed = copy.deepcopy(unet)
    rewrite(changed)
    args = arguments(torch.float64)
    want = unet.forward_sinusoids(*args)
    torch.testing.assert_close(changed.forward_sinusoids(*args), want, rtol=1e-9, atol=1e-9)
    before = {type(m).__name__ for m in unet.modules()}
    cores = {getattr(m, "core", None) for m in changed.modules()}
    after = {type(m).__name__ for m in changed.modules()}
    assert before != after or attention.written_out_spatial_attention in cores


@torch.no_grad()
def test_all_together_with_the_fused_kernel(unet):
    unet = copy.deepcopy(unet).float()
    prepared = rewrites.prepare(unet, "xnnpack")
    args = arguments(torch.float32)
    want = unet.forward_sinusoids(*args)
    got = prepared.forward_sinusoids(*args)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    exported = torch.export.export(UNetStage(prepared), tuple(args))
    targets = [str(n.target) for n in exported.graph.nodes]
    assert targets.count("mobilevd.temporal_attention.default") == 10
    assert not any("scaled_dot_product" in t for t in targets)


def test_a_folded_position_refuses_other_frames(unet):
    folded = copy.deepcopy(unet)
    rewrites.fold_frame_positions(folded)
    with pytest.raises(ValueError, match="exported for 3 frames, called with 2"):
        folded(
            torch.randn(1, 2, 8, 16, 8).double(),
            0.1,
            torch.randn(1, 1, 24).double(),
            torch.zeros(1, 3),
        )
