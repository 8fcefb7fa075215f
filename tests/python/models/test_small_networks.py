"""Image encoder and autoencoder against transformers and diffusers."""

import diffusers
import torch
import transformers
from mobilevd.models.clip_vision import ClipVision, ClipVisionConfig, transformers_keys
from mobilevd.models.tiny_vae import TinyVae, TinyVaeConfig
from small_networks import CLIP


@torch.no_grad()
def test_clip_vision_equals_transformers():
    torch.manual_seed(0)
    theirs = (
        transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**CLIP, image_size=28, patch_size=7, hidden_act="gelu")
        )
        .double()
        .eval()
    )
    ours = ClipVision(ClipVisionConfig(**CLIP, image_size=28, patch_size=7)).double()
    ours.load_state_dict(transformers_keys(theirs.state_dict()))
    image = torch.randn(2, 3, 28, 28, dtype=torch.float64)
    want = theirs(image).image_embeds
    torch.testing.assert_close(ours(image)[:, 0], want, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_tiny_vae_equals_diffusers():
    torch.manual_seed(0)
    theirs = (
        diffusers.AutoencoderTiny(
            encoder_block_out_channels=(16, 16, 16, 16), decoder_block_out_channels=(16, 16, 16, 16)
        )
        .double()
        .eval()
    )
    ours = TinyVae(TinyVaeConfig(width=16)).double()
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(2, 3, 32, 48, dtype=torch.float64) * 2 - 1
    latents = theirs.encode(image).latents
    torch.testing.assert_close(ours.encoder(image), latents, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        ours.decoder(latents), theirs.decode(latents).sample, rtol=1e-9, atol=1e-9
    )


def test_normalise_resizes_and_scales():
    encoder = ClipVision(ClipVisionConfig(14, 7, 16, 1, 1, 16, 8))
    out = encoder.normalise(torch.ones(1, 3, 40, 40))
    assert out.shape == (1, 3, 14, 14)
    want = (1 - torch.tensor(encoder.config.mean)) / torch.tensor(encoder.config.std)
    torch.testing.assert_close(out[0, :, 5, 5], want)
