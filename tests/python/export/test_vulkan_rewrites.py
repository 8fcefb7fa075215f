"""Each of Vulkan's rewrites alone, and all together, against the unrewritten network."""

import copy
from dataclasses import replace

import pytest
import torch
from mobilevd.export import rewrites
from mobilevd.export.rewrites import attention, feed_forward, frames
from mobilevd.models import create_unet
from mobilevd.models.attention import FeedForward, spatial_attention, temporal_attention
from mobilevd.models.resblock import Downsample, Upsample
from mobilevd.models.svd_vae import HalvePicture, SvdVae, SvdVaeConfig
from mobilevd.models.tiny_vae import TinyVae, TinyVaeConfig
from small_networks import UNET_CONFIG
from torch import nn

PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 1e-5)]
precisions = pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["fp64", "fp32"])


def shaken(network, dtype):
    """Every parameter off its initial value: norms, biases and blends too."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return network.to(dtype).eval()


def unet_of(dtype, **changes):
    return shaken(create_unet(replace(UNET_CONFIG, **changes)), dtype)


def arguments(dtype):
    generator = torch.Generator().manual_seed(1)
    shapes = ((1, 4, 8, 16, 8), (1, 32), (1, 1, 24), (1, 48))
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


def close(got, want, tolerance):
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


def small_limits(monkeypatch, elements):
    """The limits, so low that these networks feel them."""
    monkeypatch.setattr(attention, "BUFFER_ELEMENTS", elements)
    monkeypatch.setattr(feed_forward, "BUFFER_ELEMENTS", elements)
    monkeypatch.setattr(frames, "TEXTURE_LAYERS", 40)
    monkeypatch.setattr(frames, "TEXTURE_LIMITS", (60,))


# What a rewrite builds on, in the order of the table.
FIRST = {
    rewrites.part_feed_forwards: [rewrites.split_feed_forwards],
    rewrites.drop_the_batch: [rewrites.write_out_temporal_attention],
}


def looks(network):
    parts = network.modules()
    return [(type(m), getattr(m, "core", None), getattr(m, "scale", None)) for m in parts]


@precisions
@pytest.mark.parametrize("rewrite", rewrites.UNET_REWRITES["vulkan"], ids=lambda r: r.__name__)
@torch.no_grad()
def test_each_rewrite_is_exact(monkeypatch, rewrite, dtype, tolerance):
    small_limits(monkeypatch, 2000)
    unet = unet_of(dtype, collapsed_cross_attention=True)  # as prepare has made every UNet
    changed = copy.deepcopy(unet)
    for first in FIRST.get(rewrite, ()):
        first(changed)
    before = looks(changed)
    rewrite(changed)
    assert looks(changed) != before
    args = arguments(dtype)
    close(changed.forward_sinusoids(*args), unet.forward_sinusoids(*args), tolerance)


@precisions
@pytest.mark.parametrize(
    "changes",
    [{}, {"temporal_factor": 2, "collapsed_cross_attention": True}, {"spatial_factor": 2}],
    ids=["svd", "mobilevd", "coarse"],
)
@torch.no_grad()
def test_all_together(monkeypatch, changes, dtype, tolerance):
    small_limits(monkeypatch, 2000)
    unet = unet_of(dtype, **changes)
    args = arguments(dtype)
    if "spatial_factor" in changes:
        args[0] = torch.cat([args[0], args[0].flip(4)], 4)
    want = unet.forward_sinusoids(*args)
    close(rewrites.prepare(unet, "vulkan").forward_sinusoids(*args), want, tolerance)


@precisions
@pytest.mark.parametrize("height", [7, 8])
@pytest.mark.parametrize(
    "conv",
    [
        lambda: nn.Conv2d(6, 5, 3, padding=1),
        lambda: nn.Conv2d(6, 5, 1, bias=False),
        lambda: nn.Conv2d(6, 5, 5, padding=2),
        lambda: nn.Conv2d(6, 5, 4, stride=2, padding=1),
        lambda: nn.Conv2d(6, 5, 2, stride=2),
        lambda: Downsample(6),
        lambda: Upsample(6),
        lambda: Upsample(6, scale=4),
    ],
    ids=["3x3", "1x1", "5x5", "4x4/2", "2x2/2", "down", "up", "up4"],
)
@torch.no_grad()
def test_frames_are_stacked_under_any_convolution(conv, height, dtype, tolerance):
    network = nn.Sequential(shaken(conv(), dtype))
    x = torch.randn(3, 6, height, 9, dtype=dtype)
    want = network(x)
    batches = []
    rewritten = copy.deepcopy(network)
    rewrites.stack_frames(rewritten)
    rewritten[0].conv.register_forward_pre_hook(lambda m, a: batches.append(a[0].shape[0]))
    close(rewritten(x), want, tolerance)
    close(rewritten(x[:1]), want[:1], tolerance)
    program = torch.export.export(rewritten, (x,))
    convs = [n for n in program.graph.nodes if "conv2d" in str(n.target)]
    assert [n.args[0].meta["val"].shape[0] for n in convs] == [1]


def test_a_convolution_that_loses_rows_is_refused():
    stacked = nn.Sequential(HalvePicture(4))
    rewrites.stack_frames(stacked)
    assert stacked(torch.randn(1, 4, 8, 8)).shape == (1, 4, 4, 4)
    for conv in (nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 3, padding=2, dilation=2)):
        rewrites.stack_frames(refused := nn.Sequential(conv))
        with pytest.raises(ValueError, match="frames cannot be stacked for Conv2d"):
            refused(torch.randn(2, 4, 9, 9))


@precisions
@pytest.mark.parametrize("elements", [10**9, 700, 100, 30], ids=["whole", "heads", "rows", "row"])
@torch.no_grad()
def test_attention_in_parts(monkeypatch, elements, dtype, tolerance):
    monkeypatch.setattr(attention, "BUFFER_ELEMENTS", elements)
    q, k = (torch.randn(3, 18, 8, dtype=dtype) for _ in range(2))
    v = torch.randn(3, 18, 6, dtype=dtype)  # funnels may leave v another width
    sizes = []
    softmax = torch.softmax

    def counted(x, dim):
        sizes.append(x.numel())
        return softmax(x, dim)

    monkeypatch.setattr(torch, "softmax", counted)
    got = attention.chunked_spatial_attention(q, k, v, 2, 0.3)
    close(got, spatial_attention(q, k, v, 2, 0.3), tolerance)
    assert max(sizes) <= max(elements, 18)
    assert sum(sizes) == 3 * 2 * 18 * 18


@precisions
@torch.no_grad()
def test_temporal_attention_for_every_batch(dtype, tolerance):
    q, k = (torch.randn(2, 5, 6, 8, dtype=dtype) for _ in range(2))
    v = torch.randn(2, 5, 6, 4, dtype=dtype)
    got = attention.written_out_temporal_attention(q, k, v, 2, 0.4)
    close(got, temporal_attention(q, k, v, 2, 0.4), tolerance)


@torch.no_grad()
def test_parts_are_no_larger_than_they_may_be(monkeypatch):
    monkeypatch.setattr(feed_forward, "BUFFER_ELEMENTS", 1000)
    inner = FeedForward(8)
    parts, sizes = feed_forward.FeedForwardInParts(inner), []
    inner.proj_out.register_forward_pre_hook(lambda m, a: sizes.append(a[0].numel()))
    x = torch.randn(1, 5, 10, 8)
    torch.testing.assert_close(parts(x), inner(x))
    assert len(sizes) == 2 + 1
    assert max(sizes[:-1]) <= 1000


@precisions
@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize(
    "vae",
    [
        lambda: SvdVae(SvdVaeConfig(block_out_channels=(32, 64))),
        lambda: TinyVae(TinyVaeConfig(width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1))),
    ],
    ids=["svd", "tiny"],
)
@torch.no_grad()
def test_autoencoders(monkeypatch, vae, part, dtype, tolerance):
    small_limits(monkeypatch, 500)
    network = getattr(shaken(vae(), dtype), part)
    x = torch.randn((3, 4, 6, 10) if part == "decoder" else (1, 3, 16, 24), dtype=dtype)
    close(rewrites.prepare_vae(network, "vulkan")(x), network(x), tolerance)


def test_weights_are_shared_with_the_model():
    """Full size is 6 GB of them."""
    unet = unet_of(torch.float32)
    mine = {p.untyped_storage().data_ptr() for p in unet.parameters()}
    prepared = rewrites.prepare(unet, "vulkan")
    made = [p for p in prepared.parameters() if p.untyped_storage().data_ptr() not in mine]
    # Folded scales and merged Linear layers on the token, no convolution or feed-forward.
    assert sum(p.numel() for p in made) < 0.1 * sum(p.numel() for p in unet.parameters())
