"""The stages beside the UNet at SVD's own widths and depths, against diffusers and transformers.

Random weights, float32, shared between the two sides, so that each network is in memory once.
Pictures are SVD's or smaller where only the number of positions would grow.
"""

import pytest
import torch
from mobilevd.models.clip_vision import ClipVision, transformers_keys
from mobilevd.models.diffusers_keys import state_dict_to_ours
from mobilevd.models.svd_vae import SvdDecoder, SvdEncoder
from mobilevd.models.tiny_vae import TinyDecoder, TinyVaeConfig
from mobilevd.presets import get_preset

pytestmark = pytest.mark.slow
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

SVD, PHONE = get_preset("svd-512x256"), get_preset("mobilevd-512x256")


def fill(module):
    """Random weights in every parameter of a module made on meta; a linear map keeps the scale."""
    module.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            bound = (3 / p[0].numel()) ** 0.5 if p.ndim > 1 else 0.3
            p.uniform_(-bound, bound, generator=generator)
            if p.ndim == 1:
                p.add_(0.5)
    return module.eval()


def with_weights(make, state):
    with torch.device("meta"):
        ours = make()
    ours.load_state_dict(state, assign=True)
    return ours.eval()


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def assert_equal(got, want):
    """1e-4 of the greatest value, element by element."""
    assert got.shape == want.shape
    assert want.std() > 1e-3
    error = float((got - want).abs().max() / want.abs().max())
    print(f"max abs error / max abs: {error:.1e}")
    assert error < 1e-4


@torch.no_grad()
def test_clip_vit_h():
    config = transformers.CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        projection_dim=1024,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
        hidden_act="gelu",
    )
    with torch.device("meta"):
        theirs = transformers.CLIPVisionModelWithProjection(config)
    fill(theirs)
    ids = next(b for n, b in theirs.named_buffers() if n.endswith("position_ids"))
    ids.copy_(torch.arange(ids.shape[-1]))
    ours = with_weights(
        lambda: ClipVision(SVD.image_encoder), transformers_keys(theirs.state_dict())
    )
    image = normal(1, 3, 224, 224)
    assert_equal(ours(image)[:, 0], theirs(image).image_embeds)


@pytest.fixture(scope="module")
def svd_vae():
    with torch.device("meta"):
        vae = diffusers.AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
    return fill(vae)


def half(vae, prefix):
    """The weights of one half of an autoencoder under our names."""
    state = state_dict_to_ours(vae.state_dict())
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


@torch.no_grad()
def test_vae_encoder(svd_vae):
    ours = with_weights(lambda: SvdEncoder(SVD.vae), half(svd_vae, "encoder."))
    image = normal(1, 3, SVD.height, SVD.width).clamp(-1, 1)
    assert_equal(ours(image), svd_vae.encode(image).latent_dist.mode())


@torch.no_grad()
def test_temporal_decoder(svd_vae):
    ours = with_weights(lambda: SvdDecoder(SVD.vae), half(svd_vae, "decoder."))
    latents = normal(3, 4, 8, 16)
    assert_equal(ours(latents), svd_vae.decode(latents, num_frames=3).sample)


@torch.no_grad()
def test_tiny_decoder():
    """The phone presets' decoder is TAESD's: diffusers' defaults, on SVD's latents."""
    tiny = PHONE.vae.tiny_decoder
    assert tiny == TinyVaeConfig(latent_scale=0.18215, native_scale=0.18215)
    with torch.device("meta"):
        theirs = diffusers.AutoencoderTiny()
    fill(theirs)
    ours = with_weights(lambda: TinyDecoder(tiny), half(theirs, "decoder."))
    diffused = normal(2, 4, *PHONE.latent_size)
    assert_equal(ours(diffused / tiny.latent_scale), theirs.decode(diffused).sample)
