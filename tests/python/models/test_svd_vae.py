"""SVD's VAE against diffusers' AutoencoderKLTemporalDecoder on random weights, in float64."""

import pytest
import torch
from mobilevd.models.diffusers_keys import (
    state_dict_to_diffusers,
    state_dict_to_ours,
    vae_config_to_ours,
    vae_from_diffusers,
)
from mobilevd.models.svd_vae import SvdVae, SvdVaeConfig
from svd_pipeline import random_vae

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def theirs():
    return random_vae((32, 64, 64)).double()


@pytest.mark.parametrize(("height", "width"), [(16, 24), (8, 8)])
@torch.no_grad()
def test_encoder_equals_diffusers(theirs, height, width):
    ours = vae_from_diffusers(theirs)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, height, width, generator=generator, dtype=torch.float64) * 2 - 1
    want = theirs.encode(image).latent_dist.mode()
    assert want.shape == (2, 4, height // 4, width // 4)
    torch.testing.assert_close(ours.encoder(image), want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("clips", "frames"), [(1, 4), (2, 3), (3, 1)])
@torch.no_grad()
def test_temporal_decoder_equals_diffusers(theirs, clips, frames):
    ours = vae_from_diffusers(theirs)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(clips * frames, 4, 3, 5, generator=generator, dtype=torch.float64)
    want = theirs.decode(latents, num_frames=frames).sample
    got = ours.decoder(latents, frames)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    if clips == 1:
        torch.testing.assert_close(ours.decoder(latents), want, rtol=1e-10, atol=1e-10)
    assert want.abs().max() > 0.1


@torch.no_grad()
def test_pictures_are_coded_one_by_one(theirs):
    ours = vae_from_diffusers(theirs)
    image = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(image)[:1], ours(image[:1]))


def test_key_map_is_one_to_one(theirs):
    state = theirs.state_dict()
    back = state_dict_to_diffusers(state_dict_to_ours(state))
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in state.items()}


def test_full_size_keys_on_meta():
    widths = (128, 256, 512, 512)
    with torch.device("meta"):
        theirs = diffusers.AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * 4,
            block_out_channels=widths,
            layers_per_block=2,
            sample_size=768,
        )
        ours = SvdVae(SvdVaeConfig())
        latents = ours.encoder(torch.empty(1, 3, 576, 1024))
        frames = ours.decoder(torch.empty(14, 4, 32, 64))
    assert vae_config_to_ours(dict(theirs.config)) == SvdVaeConfig()
    want = {k: v.shape for k, v in state_dict_to_ours(theirs.state_dict()).items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == want
    assert latents.shape == (1, 4, 72, 128)
    assert frames.shape == (14, 3, 256, 512)


@torch.no_grad()
def test_stages_export_without_five_dimensions(theirs):
    ours = vae_from_diffusers(theirs).float().eval()
    cases = ((ours.encoder, torch.randn(1, 3, 16, 16)), (ours.decoder, torch.randn(3, 4, 4, 4)))
    for module, example in cases:
        program = torch.export.export(module, (example,))
        torch.testing.assert_close(program.module()(example), module(example))
        for node in program.graph.nodes:
            value = node.meta.get("val")
            assert not isinstance(value, torch.Tensor) or value.ndim <= 4, node
            assert "repeat" not in str(node.target)


def test_config_errors():
    with pytest.raises(ValueError, match="multiples of 32"):
        SvdVaeConfig(block_out_channels=(40, 64))
    with pytest.raises(ValueError, match="layers_per_block must be 2"):
        SvdVaeConfig(layers_per_block=3)
