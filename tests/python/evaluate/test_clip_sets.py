"""Sets of clips: the same for any batch size, resumed where they stopped, never mixed up."""

import dataclasses

import numpy as np
import pytest
import torch
from mobilevd.compress.cross_attention import collapse_cross_attention
from mobilevd.evaluate.clip_batches import as_video, digest_of, reduced, sampler_of
from mobilevd.evaluate.clip_set import generated_set, real_set
from mobilevd.evaluate.measure import compare, measure, write_sheet
from mobilevd.evaluate.real_clips import clips_by_number
from mobilevd.evaluate.reference_sampler import sample_latents
from mobilevd.models.store import Model
from mobilevd.presets import Sampling, get_preset
from mobilevd.psnr import EXACT_DB
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.data import Clip, DrawnClips, MovingDigits
from mobilevd.training.data.ucf101 import Ucf101
from PIL import Image
from small_networks import UNET

SEED = 4


@pytest.fixture(autouse=True)
def in_fp32(monkeypatch):
    """Whatever the hardware has: in bf16 a clip's last bits depend on its batch (seen with AMX)."""
    monkeypatch.setattr("mobilevd.training.precision.bf16_is_native", lambda device: False)


class MeanColours:
    """An extractor that is easy to follow: the mean of each colour, over the frames' halves."""

    key, name, frames, digest, real_sets = "distance", "mean colours", None, "mean", 2

    def __init__(self):
        self.seen = 0

    def __call__(self, clips):
        self.seen += len(clips)
        halves = clips.unflatten(1, (2, -1))
        return halves.mean((2, 4, 5)).flatten(1).numpy()


def small_model(**sampling) -> Model:
    """mini's autoencoder and picture encoder, untrained, and a narrow UNet of four frames."""
    mini = get_preset("mini")
    config = {**UNET, "cross_attention_dim": mini.unet.cross_attention_dim}
    preset = dataclasses.replace(
        mini,
        unet=dataclasses.replace(mini.unet, **config, num_frames=4),
        sampling=Sampling(**sampling),
    )
    torch.manual_seed(0)
    return Model.fresh(preset)


SAMPLINGS = {
    "guided Euler": {"steps": 2},
    "one step": {"steps": 1, "guidance_max": 1.0},
    "consistency": {"sampler": "consistency", "steps": 2, "levels": 40, "guidance_max": 1.0},
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
def test_a_clip_does_not_depend_on_its_batch(sampling):
    model = small_model(**sampling)
    sampler = sampler_of(model)
    data = DrawnClips(MovingDigits("test"), 4, (64, 64), SEED)
    together = sampler.clips(data.batch(range(3)), ClipNoise(SEED, range(3)))
    alone = [sampler.clips(data.batch([i]), ClipNoise(SEED, [i]))[0] for i in range(3)]
    assert together.shape == (3, 4, 3, 64, 64)
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-3, atol=1e-4)
    assert not torch.equal(together[0], together[1])
    again = sampler.clips(data.batch([0]), ClipNoise(SEED + 1, [0]))[0]
    assert (again - together[0]).abs().max() > 1e-3


@torch.no_grad()
def test_clips_are_the_reference_samplers():
    """One clip by hand: the reference sampler on the same noise and conditions, with the UNet as it
    was before its cross-attention was collapsed."""
    model = small_model(steps=2)
    batch = DrawnClips(MovingDigits("test"), 4, (64, 64), SEED).batch([5])
    sampler = sampler_of(model)
    assert sampler.model.unet.config.collapsed_cross_attention
    assert not model.unet.config.collapsed_cross_attention
    got = sampler.clips(batch, ClipNoise(SEED, [5]))
    noise, preset = ClipNoise(SEED, [5]), model.preset
    picture = batch.first + preset.sampling.noise_aug * noise.normal(3, 64, 64)
    sampling = dataclasses.replace(
        preset.sampling, fps=int(batch.fps), motion_bucket=int(batch.motion_bucket)
    )
    latents = sample_latents(
        model.unet,
        model.image_encoder(model.image_encoder.normalise(batch.first)),
        model.vae.encoder(picture),
        noise.normal(4, 4, *preset.latent_size),
        sampling,
    )
    want = model.vae.decoder((latents[0] / preset.vae.latent_scale).float())
    torch.testing.assert_close(got[0], want, rtol=1e-3, atol=1e-4)


def test_sets_go_on_where_they_stopped(tmp_path):
    sampler, extract = sampler_of(small_model(steps=1)), MeanColours()
    first = generated_set(sampler, extract, tmp_path, 4, seed=SEED, batch_size=2)
    assert extract.seen == 4
    whole = generated_set(sampler, extract, tmp_path, 6, seed=SEED, batch_size=2)
    assert extract.seen == 6  # two more
    np.testing.assert_array_equal(whole.features[:4], first.features)
    apart = generated_set(sampler, extract, tmp_path / "new", 6, seed=SEED, batch_size=3)
    for name in ("features", "motion", "first_frame_psnr_db"):
        np.testing.assert_allclose(getattr(apart, name), getattr(whole, name), rtol=1e-2, atol=1e-3)
    assert whole.shown.shape == (6, 4, 64, 64, 3)
    assert whole.pictures.dtype == np.uint8
    # No pixels but those of the sheet, and nothing half-written.
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert {f.suffix for f in files} == {".json", ".npz"}
    assert not [f for f in files if f.name.startswith(".")]


def test_an_interrupted_batch_leaves_nothing(tmp_path):
    sampler = sampler_of(small_model(steps=1))

    class Breaks(MeanColours):
        def __call__(self, clips):
            if self.seen >= 2:
                raise KeyboardInterrupt
            return super().__call__(clips)

    with pytest.raises(KeyboardInterrupt):
        generated_set(sampler, Breaks(), tmp_path, 6, batch_size=2)
    assert [f.name for f in tmp_path.rglob("*.npz")] == ["000000-000002.npz"]
    extract = MeanColours()
    assert len(generated_set(sampler, extract, tmp_path, 6, batch_size=2)) == 6
    assert extract.seen == 4


def test_other_weights_seeds_and_steps_are_other_sets(tmp_path):
    model, extract = small_model(steps=1), MeanColours()

    def made(seed=SEED, steps=None):
        generated_set(sampler_of(model, steps), extract, tmp_path, 2, seed=seed, batch_size=2)
        return extract.seen

    assert [made(), made(), made(seed=9), made(steps=2)] == [2, 2, 4, 6]
    before = digest_of(model)
    with torch.no_grad():
        model.unet.conv_out.bias += 0.1
    assert digest_of(model) != before
    assert made() == 8
    # What collapsing makes of it is the same function, and its clips are there already.
    model.unet = collapse_cross_attention(model.unet)
    model.preset = dataclasses.replace(model.preset, unet=model.unet.config)
    assert made() == 8


def test_measure(tmp_path):
    extract, reports = MeanColours(), []
    model = small_model(steps=3)
    row = measure(
        model,
        6,
        tmp_path,
        seed=3,
        steps=2,
        extract=extract,
        sheet=tmp_path / "sheet.png",
        progress=lambda done, total, what: reports.append((done, total, what)),
    )
    assert (row["clips"], row["real_clips"], row["nfe"], row["name"]) == (6, 12, 4, "mini")
    assert row["distance_name"] == "mean colours"
    low, high = row["distance_ci95"]
    assert 0 <= low <= row["distance"] <= high
    assert row["distance"] > row["distance_floor"]  # an untrained model
    assert row["motion"] > row["motion_floor"]
    assert row["mmd"] > row["mmd_floor"]
    assert row["first_frame_psnr_db"] < 25
    assert (6, 6, "clips of mini") in reports
    # Six clips, real above made, four frames of 66 pixels; a gap between clips.
    assert Image.open(tmp_path / "sheet.png").size == (4 * 66, 12 * 66 + 5 * 4)
    assert measure(model, 6, tmp_path, seed=3, steps=2, extract=extract) == row
    assert extract.seen == 6 + 6 + 12


def test_a_perfect_model_gets_the_floor(tmp_path):
    extract = MeanColours()
    real, other = (real_set(extract, tmp_path, 300, seed=s, frames=4) for s in (0, 1))
    row = compare(real, other, real)
    assert row["distance"] == row["distance_floor"] < 0.01
    assert row["motion"] == row["motion_floor"] < 0.2
    assert row["first_frame_psnr_db"] == EXACT_DB


def test_evaluation_videos_by_number():
    """UCF-101's clips come in one pass; an earlier number starts another one."""

    class Numbered(Ucf101):
        def __init__(self):
            self.where, self.passes = "here", 0

        def evaluation_clips(self, count, frames, size=(240, 320), seed=0):
            self.passes += 1
            for i in range(6):
                yield f"{i}", Clip(np.full((frames, *size, 3), 10 * seed + i, np.uint8), 25.0, i)

    source = Numbered()
    data = clips_by_number(source, 3, (4, 6), 2)

    def numbers(indices):
        batch = data.batch(indices)
        assert batch.clips.shape == (len(indices), 3, 3, 4, 6)
        assert batch.fps.tolist() == [25.0] * len(indices)
        return ((batch.clips[:, 0, 0, 0, 0] + 1) * 127.5).round().int().tolist()

    assert [numbers([0, 1]), numbers([3, 4])] == [[20, 21], [23, 24]]
    assert source.passes == 1
    assert numbers([1, 5]) == [21, 25]
    assert source.passes == 2
    with pytest.raises(ValueError, match="here has not enough videos for clip 6: fewer --clips"):
        numbers([6])


def test_sizes():
    clips = torch.rand(2, 3, 3, 16, 16) * 3 - 1.5
    video = as_video(clips)
    assert video.min() == -1
    assert video.max() == 1
    torch.testing.assert_close(video, clips.clamp(-1, 1), rtol=0, atol=1 / 255 + 1e-6)
    blocks = video.unflatten(3, (8, 2)).unflatten(5, (8, 2)).mean((4, 6))
    torch.testing.assert_close(reduced(video, (8, 8)), blocks, rtol=0, atol=1 / 255 + 1e-6)
    assert reduced(video, (16, 16)) is video


def test_sheet_needs_no_more_clips_than_there_are(tmp_path):
    extract = MeanColours()
    real = real_set(extract, tmp_path, 10, seed=0, frames=4)
    write_sheet(tmp_path / "sheet.png", real, real)
    assert Image.open(tmp_path / "sheet.png").size == (4 * 66, 16 * 66 + 7 * 4)
