"""A decoder of SVD's kind on the tiny encoder's latents: trained, stored, and what it costs."""

from dataclasses import replace

import pytest
import torch
from mobilevd.compress.flops import decoder_flops
from mobilevd.models.store import Model, load_model, save_model
from mobilevd.models.svd_vae import SvdDecoder
from mobilevd.models.tiny_vae import TinyVaeConfig
from mobilevd.models.vae import decode_clips
from mobilevd.presets import get_preset
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.data import Batch
from mobilevd.training.data.digits import MovingDigits
from mobilevd.training.loop import Run
from mobilevd.training.methods.decoder import WIDTHS, Decoder
from mobilevd.training.settings import Settings
from mobilevd.training.train import Training, train


class Clips:
    def batch(self, indices):
        generator = torch.Generator().manual_seed(3)
        clips = torch.rand(len(indices), 14, 3, 64, 64, generator=generator) * 2 - 1
        one = torch.ones(len(indices))
        return Batch(clips[:, 0], 7 * one, 60 * one, clips)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model.fresh(get_preset("mini"))


def test_only_the_decoder_learns_and_a_model_folder_keeps_it(model, tmp_path):
    encoder = {k: v.clone() for k, v in model.vae.encoder.state_dict().items()}
    method = Decoder(model)
    before = {k: v.clone() for k, v in model.vae.decoder.state_dict().items()}
    settings = Settings(2, 2, 1e-3, warmup=1, log_every=1)
    run = Run(tmp_path / "run", method, Clips(), settings)
    assert run.train()
    after = model.vae.decoder.state_dict()
    assert any((after[k] != v).any() for k, v in before.items())
    assert all((model.vae.encoder.state_dict()[k] == v).all() for k, v in encoder.items())
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert isinstance(loaded.vae.decoder, SvdDecoder)
    latents = torch.randn(14, 4, 8, 8)
    torch.testing.assert_close(loaded.vae.decoder(latents), model.vae.decoder(latents))


def test_the_model_samples_as_the_one_it_starts_from(model, tmp_path):
    """One evaluation stays one: the preset's own sampling is of a UNet before its distillation."""
    preset = model.preset
    model.preset = replace(preset, sampling=replace(preset.sampling, steps=1, guidance_max=1.0))
    save_model(model, tmp_path / "start")
    settings = Settings(1, 1, 1e-3, warmup=1)
    training = Training(
        "decoder", preset, tmp_path / "run", settings, MovingDigits("train"), tmp_path / "start"
    )
    assert train(training)
    assert load_model(training.result).preset.sampling.evaluations == 1


def test_frames_of_one_clip_do_not_see_the_other(model):
    """The loss of two clips is the mean of each one's: the decoder is told where a clip ends."""
    decoder, data = Decoder(model), Clips().batch(range(2))

    def loss(which):
        batch = Batch(
            *(getattr(data, k)[which] for k in ("first", "fps", "motion_bucket", "clips"))
        )
        return decoder.loss("decoder", batch, ClipNoise(0, which)).total.item()

    assert loss([0, 1]) == pytest.approx((loss([0]) + loss([1])) / 2, rel=1e-5)


def test_cost_and_errors():
    mini = get_preset("mini")
    full = replace(mini, vae=replace(mini.vae, temporal_decoder=WIDTHS))
    assert decoder_flops(full) / decoder_flops(mini) == pytest.approx(2.6, abs=0.05)
    with pytest.raises(ValueError, match="temporal_decoder needs 4 widths"):
        TinyVaeConfig(temporal_decoder=(32, 32))


@torch.no_grad()
def test_clips_are_decoded_one_by_one(model):
    """As sheets and evaluations do: SVD's decoder mixes the frames of what it takes for a clip."""
    Decoder(model)
    model.vae.double()
    latents = torch.randn(2, 14, 4, 8, 8).double()
    both = decode_clips(model.vae, latents)
    assert both.shape == (2, 14, 3, 64, 64)
    torch.testing.assert_close(decode_clips(model.vae, latents[1:]), both[1:])
