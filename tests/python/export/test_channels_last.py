"""Networks in our kernels' layout: each part, and the whole of them, against what they replace."""

from dataclasses import replace

import pytest
import torch
from mobilevd.export.half import HalfStage
from mobilevd.export.rewrites import prepare, prepare_vae
from mobilevd.export.rewrites.channels_last import layers
from mobilevd.export.rewrites.channels_last.unet import ResBlock, Transformer
from mobilevd.export.stages import UNetStage
from mobilevd.kernels import torch_ops  # noqa: F401  (registers the ops)
from mobilevd.models import create_unet
from mobilevd.models.resblock import Downsample, SpatioTemporalResBlock, Upsample
from mobilevd.models.svd_vae import SvdDecoder, SvdEncoder, SvdVaeConfig
from mobilevd.models.tiny_vae import TinyDecoder, TinyEncoder, TinyVaeConfig
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


def near(got, want, limit=2e-6):
    assert got.shape == want.shape
    assert (got - want).norm() < limit * want.norm()


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
    up = isinstance(conv, Upsample)
    ours = layers.UpsampledConvolution.of_upsample(conv) if up else layers.Convolution(conv)
    x = torch.randn(3, conv.in_channels, 10, 6)
    near(ours(last(x)), last(conv(x)))


def test_another_kernel_is_refused():
    with pytest.raises(ValueError, match=r"no kernel of ours for Conv2d.*kernel_size=\(5, 5\)"):
        layers.Convolution(nn.Conv2d(16, 16, 5, padding=2))


@pytest.mark.parametrize("channels", [(32, 32), (96, 32)], ids=["same", "with a shortcut"])
@pytest.mark.parametrize("temporal", [True, False])
@torch.no_grad()
def test_res_block(channels, temporal):
    path = "down_blocks.0.resnets.0"
    config = CONFIG if temporal else replace(CONFIG, temporal_blocks=())
    block = randomised(SpatioTemporalResBlock(*channels, 1e-5, config, path))
    x, time = torch.randn(4, channels[0], 6, 5), torch.randn(1, config.time_embed_dim)
    near(ResBlock(block)(last(x), time, 4), last(block(x, time, 4)))


@torch.no_grad()
def test_transformer():
    block = randomised(SpatioTemporalTransformer(32, 2, CONFIG, "down_blocks.0.attentions.0"))
    want = block(x := torch.randn(4, 32, 6, 5), context := torch.randn(1, 1, 24), 4)
    near(Transformer(block)(last(x), context, 4), last(want))


TORCHS = {"conv2d", "convolution", "group_norm", "native_group_norm"}


def ops_of(module, arguments):
    graph = torch.export.export(module, arguments).graph
    ops = [node.target for node in graph.nodes if node.op == "call_function"]
    return [str(op).split(".")[1] for op in ops if isinstance(op, torch._ops.OpOverload)]


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
    names = ops_of(prepared, arguments)
    assert not TORCHS & set(names)
    # In and out; around the pooling of spatial multiscaling. Transposes are of attention's heads.
    assert names.count("permute") == (4 if "spatial_factor" in changes else 2)


def test_promised_weights_keep_their_shapes():
    with torch.device("meta"):
        promised = create_unet(CONFIG)
    give_blends_values(promised)
    got = dict(prepare(promised, "xnnpack").named_parameters())
    real = dict(prepare(create_unet(CONFIG), "xnnpack").named_parameters())
    assert {k: p.shape for k, p in got.items()} == {k: p.shape for k, p in real.items()}


SVD = SvdVaeConfig(block_out_channels=(32, 64, 96))
TINY = TinyVaeConfig(width=24, encoder_blocks=(1, 2, 1), decoder_blocks=(1, 2, 1), native_scale=0.5)


@pytest.mark.parametrize(
    ("make", "shape", "of_torch"),
    [
        (lambda: TinyEncoder(TINY), (2, 3, 16, 24), set()),
        (lambda: TinyDecoder(TINY), (2, 4, 5, 3), set()),
        (lambda: SvdEncoder(SVD), (2, 3, 16, 24), {"conv2d"}),  # 1x1, of 8 channels
        (lambda: SvdDecoder(SVD), (3, 4, 5, 3), {"conv2d"}),  # over frames, of 3 channels
    ],
    ids=["tiny encoder", "tiny decoder", "SVD's encoder", "SVD's decoder"],
)
@torch.no_grad()
def test_encoders_and_decoders(make, shape, of_torch):
    network, x = randomised(make()), torch.randn(shape)
    want = network.double()(x.double()).float()
    prepared = prepare_vae(network.float(), "xnnpack")
    near(prepared(x), want, 1e-5)  # Winograd, up to 20 times one after another
    names = ops_of(prepared, (x,))
    assert set(names) & TORCHS == of_torch
    assert sum(names.count(name) for name in of_torch) <= 1
    near(network(x), want, 1e-5)  # the network itself is as it was


@pytest.mark.parametrize(
    "layers_of_it",
    [
        lambda layers: [nn.ReLU(), *layers],
        lambda layers: [*layers[:1], nn.Upsample(scale_factor=2, mode="bilinear"), *layers[1:]],
        lambda layers: [*layers, nn.BatchNorm2d(3)],
    ],
)
def test_a_tiny_decoder_of_other_layers_is_refused(layers_of_it):
    decoder = TinyDecoder(TINY)
    decoder.layers = nn.Sequential(*layers_of_it([*decoder.layers]))
    with pytest.raises(ValueError, match="no kernel of ours for"):
        prepare_vae(decoder, "xnnpack")


class AsUNetStage(nn.Module):
    """Before the rewrites."""

    def __init__(self, unet):
        super().__init__()
        self.forward = unet.forward_sinusoids


HALVES = {
    "UNet": (
        lambda: create_unet(CONFIG),
        AsUNetStage,
        lambda unet: UNetStage(prepare(unet, "xnnpack")),
        ((1, 4, 8, 16, 32), (1, 32), (1, 1, 24), (1, 48)),
    ),
    **{
        make.__name__: (
            lambda make=make, config=config: make(config),
            lambda network: network,
            lambda network: prepare_vae(network, "xnnpack"),
            (shape,),
        )
        for make, config, shape in (
            (TinyEncoder, TINY, (2, 3, 16, 24)),
            (TinyDecoder, TINY, (2, 4, 5, 3)),
            (SvdEncoder, SVD, (2, 3, 16, 24)),
            (SvdDecoder, SVD, (3, 4, 5, 3)),
        )
    },
}


@pytest.mark.parametrize("name", HALVES)
@torch.no_grad()
def test_halves(name):
    """Weights and features are float16, the kernels' biases float32; ours are shared, not cast."""
    make, eager, rewritten, shapes = HALVES[name]
    network = randomised(make())
    arguments = tuple(torch.randn(shape) for shape in shapes)
    stage = rewritten(network)
    half = HalfStage(stage)
    want, got = eager(network)(*arguments), half(*arguments)
    assert got.dtype == torch.float32
    assert 1e-5 < (got - want).norm() / want.norm() < 6e-3
    dtypes = {name: p.dtype for name, p in half.named_parameters()}
    convolutions = [n for n, m in half.named_modules() if isinstance(m, layers.Convolution)]
    biases = {f"{name}.bias" for name in convolutions} & set(dtypes)
    assert {name for name, dtype in dtypes.items() if dtype == torch.float32} == biases
    assert len(biases) > 5
    assert all(p.dtype == torch.float32 for p in stage.parameters())


def test_a_kernels_bias_may_be_beyond_fp16():
    conv = nn.Conv2d(16, 16, 3, padding=1)
    torch.nn.init.constant_(conv.bias, 1e6)
    half = HalfStage(layers.Convolution(conv))
    assert half.module.bias.dtype == torch.float32
    assert half.module.bias.max() == 1e6
