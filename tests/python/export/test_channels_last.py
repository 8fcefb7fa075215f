"""The UNet in our kernels' layout: each part, and the whole of it, against what it replaces."""

from dataclasses import replace

import pytest
import torch
from mobilevd.export.rewrites import channels_last, prepare
from mobilevd.export.stages import UNetStage
from mobilevd.kernels import torch_ops  # noqa: F401  (registers the ops)
from mobilevd.models import create_unet
from mobilevd.models.resblock import Downsample, SpatioTemporalResBlock, Upsample
from mobilevd.models.transformer import SpatioTemporalTransformer
from small_networks import UNET_CONFIG, give_blends_values
from torch import nn

CONFIG = replace(UNET_CONFIG, num_frames=4, collapsed_cross_attention=True)


def randomised(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))  # mix factors, norms and biases too
    return module.eval()


def last(x):
    return x.permute(0, 2, 3, 1).contiguous()


def near(got, want):
    assert got.shape == want.shape
    assert (got - want).norm() < 2e-6 * want.norm()


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(32, 24, 3, padding=1),
        lambda: nn.Conv2d(8, 32, 3, padding=1, bias=False),
        lambda: Downsample(32),
        lambda: Upsample(32),
        lambda: Upsample(32, scale=4),
    ],
    ids=["conv", "few channels, no bias", "down", "up", "up by 4"],
)
@torch.no_grad()
def test_convolutions_of_a_picture(make):
    conv = randomised(make())
    ours = channels_last.UpsampledConvolution if isinstance(conv, Upsample) else None
    x = torch.randn(3, conv.in_channels, 10, 6)
    near((ours or channels_last.Convolution)(conv)(last(x)), last(conv(x)))


def test_another_kernel_is_refused():
    with pytest.raises(ValueError, match=r"no kernel of ours for Conv2d.*kernel_size=\(5, 5\)"):
        channels_last.Convolution(nn.Conv2d(16, 16, 5, padding=2))


@pytest.mark.parametrize("channels", [(32, 32), (96, 32)], ids=["same", "with a shortcut"])
@pytest.mark.parametrize("temporal", [True, False])
@torch.no_grad()
def test_res_block(channels, temporal):
    path = "down_blocks.0.resnets.0"
    config = CONFIG if temporal else replace(CONFIG, temporal_blocks=())
    block = randomised(SpatioTemporalResBlock(*channels, 1e-5, config, path))
    x, time = torch.randn(4, channels[0], 6, 5), torch.randn(1, config.time_embed_dim)
    near(channels_last.ResBlock(block)(last(x), time, 4), last(block(x, time, 4)))


@torch.no_grad()
def test_transformer():
    block = randomised(SpatioTemporalTransformer(32, 2, CONFIG, "down_blocks.0.attentions.0"))
    want = block(x := torch.randn(4, 32, 6, 5), context := torch.randn(1, 1, 24), 4)
    near(channels_last.Transformer(block)(last(x), context, 4), last(want))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temporal_factor": 2},
        {"temporal_factor": 2, "temporal_operator": "mean", "spatial_factor": 2},
    ],
    ids=["svd", "temporal", "both scales"],
)
@torch.no_grad()
def test_the_unet_has_no_other_convolution_and_hardly_a_permute(changes):
    unet = randomised(create_unet(replace(CONFIG, **changes)))
    shapes = ((1, 4, 8, 16, 32), (1, 32), (1, 1, 24), (1, 48))
    arguments = tuple(torch.randn(shape) for shape in shapes)
    want = unet.double().forward_sinusoids(*(a.double() for a in arguments)).float()
    prepared = UNetStage(prepare(unet.float(), "xnnpack"))
    near(prepared(*arguments), want)
    graph = torch.export.export(prepared, arguments).graph
    ops = [node.target for node in graph.nodes if node.op == "call_function"]
    names = [str(op).split(".")[1] for op in ops if isinstance(op, torch._ops.OpOverload)]
    assert not {"conv2d", "convolution", "group_norm", "native_group_norm"} & set(names)
    # In and out; around the pooling of spatial multiscaling. Transposes are of attention's heads.
    assert names.count("permute") == (4 if "spatial_factor" in changes else 2)


def test_promised_weights_keep_their_shapes():
    with torch.device("meta"):
        promised = create_unet(CONFIG)
    give_blends_values(promised)
    got = dict(prepare(promised, "xnnpack").named_parameters())
    real = dict(prepare(create_unet(CONFIG), "xnnpack").named_parameters())
    assert {k: p.shape for k, p in got.items()} == {k: p.shape for k, p in real.items()}
