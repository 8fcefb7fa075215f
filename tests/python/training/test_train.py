"""Every method and stage, a few steps each, on a UNet of two levels: from nothing to one step."""

from dataclasses import replace

import pytest
import torch
from mobilevd.models.clip_vision import ClipVisionConfig
from mobilevd.models.config import UNetConfig
from mobilevd.models.plan import temporal_blocks
from mobilevd.models.store import DISCRIMINATOR, load_model
from mobilevd.models.tiny_vae import TinyVaeConfig
from mobilevd.presets import Preset, Sampling
from mobilevd.training.data import clip_rng
from mobilevd.training.data.digits import MovingDigits
from mobilevd.training.loop import TrainingError
from mobilevd.training.methods.mobilevd import collapse
from mobilevd.training.methods.mobilevd_options import Options
from mobilevd.training.methods.sfv import SfvConstants
from mobilevd.training.settings import Settings
from mobilevd.training.start import model_at, teacher_for
from mobilevd.training.train import Training, train
from safetensors.torch import load_file

PRESET = Preset(
    name="tiny",
    summary="for tests",
    height=16,
    width=16,
    unet=UNetConfig(
        block_out_channels=(32, 32),
        attention_levels=(True, False),
        layers_per_block=1,
        num_attention_heads=(1, 1),
        cross_attention_dim=8,
        addition_time_embed_dim=8,
        num_frames=4,
    ),
    image_encoder=ClipVisionConfig(
        image_size=16,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=16,
        projection_dim=8,
    ),
    vae=TinyVaeConfig(width=8, encoder_blocks=(0, 1), decoder_blocks=(1, 0)),
    sampling=Sampling(steps=2),
)
SETTINGS = Settings(steps=2, batch_size=2, learning_rate=1e-3, warmup=1, sample_every=2)


def trained(folder, method, **changes):
    training = Training(method, PRESET, folder, SETTINGS, MovingDigits("train"), **changes)
    assert train(training)
    return training.result


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    vae = trained(folder / "vae", "autoencoder")
    return trained(folder / "svd", "svd", vae=vae, cached_clips=4)


@pytest.mark.parametrize("method", ["sfv", "ladd", "ufogen", "animatelcm"])
def test_distillations(tmp_path, teacher, method):
    model = load_model(trained(tmp_path, method, start=teacher, teacher=teacher, cached_clips=2))
    start = load_model(teacher)
    assert model.preset.sampling.evaluations == (8 if method == "animatelcm" else 1)
    assert model.preset.unet == start.preset.unet
    moved = [
        not torch.equal(a, b)
        for a, b in zip(model.unet.parameters(), start.unet.parameters(), strict=True)
    ]
    assert any(moved)
    for name in ("vae", "image_encoder"):
        pairs = zip(
            getattr(model, name).parameters(), getattr(start, name).parameters(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pairs)
    assert len(list((tmp_path / "samples").glob("*.png"))) == 1


def test_stages_of_mobilevd(tmp_path, teacher):
    """In the paper's order, each from the one before; the last model has every change."""
    low = trained(
        tmp_path / "low", "mobilevd", stage="low_resolution", start=teacher, teacher=teacher
    )
    assert load_model(low).preset.sampling.evaluations == 4  # guided still
    start = low
    for stage in ("adversarial", "multiscaling", "pruning", "funnels"):
        start = trained(tmp_path / stage, "mobilevd", stage=stage, start=start, teacher=low)
    model = load_model(start)
    collapse(model)
    config, full = model.preset.unet, temporal_blocks(PRESET.unet)
    assert model.preset.sampling.evaluations == 1
    assert config.temporal_factor == 2
    assert len(config.temporal_blocks) == round(0.3 * len(full))
    assert {qk for _, qk, _ in config.attention_widths} == {16}
    assert not config.unmerged_funnels
    assert config.collapsed_cross_attention


def test_cross_attention_needs_no_training(tmp_path, teacher):
    folder = trained(tmp_path, "mobilevd", stage="cross_attention", start=teacher, teacher=teacher)
    assert load_model(folder).preset.unet.collapsed_cross_attention
    assert not (tmp_path / "log.csv").exists()


def test_a_run_folder_goes_on_with_its_own_data_only(tmp_path, teacher):
    def run(source, **changes):
        return train(Training("svd", PRESET, tmp_path, SETTINGS, source, start=teacher, **changes))

    assert run(MovingDigits("train"))
    assert run(MovingDigits("train"))
    with pytest.raises(TrainingError, match=r"with other settings \(data\)"):
        run(MovingDigits("test"))
    with pytest.raises(TrainingError, match=r"with other settings \(cached_clips\)"):
        run(MovingDigits("train"), cached_clips=2)


def test_heads_go_on_from_stage_to_stage(tmp_path, teacher):
    """A stage whose discriminator stands still ends with the heads of the one before."""

    def heads(name, start, **changes):
        result = trained(
            tmp_path / name,
            "mobilevd",
            stage="adversarial",
            start=start,
            teacher=teacher,
            **changes,
        )
        return load_file(result / DISCRIMINATOR), result

    first, folder = heads("first", teacher, constants=SfvConstants(head_blocks=1))
    still = SfvConstants(discriminator_rate=1e-12, head_blocks=1)
    second, _ = heads("second", folder, constants=still)
    new, _ = heads("new", teacher, constants=still)
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], new[k]) for k in first)
    load_model(folder)  # the file is no part of the model


@pytest.mark.parametrize("pruning", ["l1", "random"])
def test_other_prunings(tmp_path, teacher, pruning):
    options = Options(pruning=pruning, pruned_share=0.5)
    result = trained(
        tmp_path, "mobilevd", stage="pruning", start=teacher, teacher=teacher, options=options
    )
    kept = load_model(result).preset.unet.temporal_blocks
    assert len(kept) == round(0.5 * len(temporal_blocks(PRESET.unet)))


def test_wrong_starts_and_teachers(tmp_path, teacher):
    wider = replace(PRESET, unet=replace(PRESET.unet, block_out_channels=(64, 32)))
    with pytest.raises(
        ValueError, match=r"no model for preset tiny: .* another block_out_channels"
    ):
        model_at(wider, teacher)
    other = replace(PRESET, image_encoder=replace(PRESET.image_encoder, hidden_size=32))
    with pytest.raises(ValueError, match="another image encoder than preset tiny"):
        model_at(other, teacher)
    multiscaled = trained(
        tmp_path / "m", "mobilevd", stage="multiscaling", start=teacher, teacher=teacher
    )
    with pytest.raises(ValueError, match="is compressed: the teacher must be an uncompressed SVD"):
        teacher_for(PRESET, multiscaled)
    with pytest.raises(ValueError, match="method svd needs --vae"):
        trained(tmp_path / "n", "svd")
    with pytest.raises(ValueError, match="method sfv needs --teacher"):
        trained(tmp_path / "o", "sfv", start=teacher)


def test_size_is_the_presets(teacher):
    """Weights do not depend on the size: a teacher at twice of it is the same network."""
    large = replace(PRESET, name="large", height=32, width=32)
    model = model_at(large, teacher)
    assert model.preset.latent_size == (16, 16)
    clip = MovingDigits("test").draw(clip_rng(0, 0), 4, (32, 32))
    assert clip.frames.shape == (4, 32, 32, 3)
