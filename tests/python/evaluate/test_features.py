"""The feature network: what it learns, that training repeats itself, and that the distance on the
shipped one sees what it is for."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from mobilevd.evaluate.features import SHIPPED, DigitsFeatures
from mobilevd.evaluate.features.damage import DAMAGES, damaged
from mobilevd.evaluate.features.network import DIGITS, PLACEMENT, VALUES, FeatureNetwork
from mobilevd.evaluate.features.train import (
    Training,
    at_centres,
    far_from_digits,
    held_out_figures,
    labelled_batch,
    matched,
    presence,
    train_features,
    trained,
)
from mobilevd.evaluate.frechet import frechet_distance, gaussian_of
from mobilevd.training.data import DrawnClips, MovingDigits, clip_rng

SHORT = Training(steps=6, batch_size=4, held_out_clips=8)


def test_labels_are_of_the_clip_that_draw_gives():
    source = MovingDigits("features", digits=1)
    clip, (digit,) = source.draw_labelled(clip_rng(0, 5), 14, (64, 64))
    np.testing.assert_array_equal(clip.frames, source.draw(clip_rng(0, 5), 14, (64, 64)).frames)
    for frame, centre in zip(clip.frames, digit.centres, strict=True):
        y, x = np.nonzero(frame.max(-1))
        # A scan does not fill its square, so its light is near the square's centre.
        assert np.abs([x.mean() / 64, y.mean() / 64] - centre).max() < 0.12
        assert np.abs(np.array([np.ptp(x), np.ptp(y)]) / 64).max() <= digit.side + 2 / 64
    shown = clip.frames.reshape(-1, 3).max(0) / 255
    np.testing.assert_allclose(shown, digit.colour, atol=0.12)  # a scan need not reach 16 of 16
    assert digit.value in range(10)


def test_digits_have_no_order():
    """Placements are held against the digits in the order that fits, clip by clip."""
    torch.manual_seed(0)
    wanted = torch.rand(3, DIGITS, PLACEMENT)
    said = wanted + 0.01 * torch.randn_like(wanted)
    said[1] = said[1].flip(0)
    found = matched(said, wanted)
    assert (found - said).abs().max() < 0.06
    torch.testing.assert_close(found[1], wanted[1].flip(0))
    torch.testing.assert_close(matched(said, wanted.flip(1)), found)
    assert presence(torch.tensor([[1, 7], [3, 3]])).nonzero().tolist() == [[0, 1], [0, 7], [1, 3]]


def test_values_are_asked_for_where_the_digits_are():
    """A map with one lit place: only the digit there, then, reads it; centres go along (x, y)."""
    value_map = torch.zeros(1, VALUES, 4, 8, 8)
    value_map[0, 3, 2, 5, 1] = 1  # in the third of four frames of the map: frame 8 of 14
    centres = torch.full((1, DIGITS, 14, 2), 0.9)
    centres[0, 1, 8] = torch.tensor([1.5 / 8, 5.5 / 8])
    found = at_centres(value_map, centres)
    assert found.shape == (1, DIGITS, 4, VALUES)
    assert found[0, 1, 2, 3] == pytest.approx(1)
    assert found.sum() == pytest.approx(1)
    far = far_from_digits(value_map, centres)
    assert far.shape == (1, 4, 8, 8)
    assert far[0, 2, 5, 1] == 0  # where the one digit is, in that frame only
    assert far[0, 1, 5, 1] == 1
    assert (far[0, :, 7, 7] == 0).all()  # where the other one always is
    assert far[0, 0, 0, 0] == 1


def test_damage_has_its_strength():
    clips = DrawnClips(MovingDigits("features"), 14, (64, 64)).batch(range(8)).clips
    hurt, strengths = damaged(clips, torch.Generator().manual_seed(0), share=1.0)
    assert strengths.shape == (8, len(DAMAGES))
    assert ((strengths > 0).sum(1) == 1).all()
    assert (hurt - clips).abs().amax((1, 2, 3, 4)).min() > 0.01
    same, none = damaged(clips, torch.Generator().manual_seed(0), share=0.0)
    assert torch.equal(same, clips)
    assert not none.any()
    for name, damage in DAMAGES.items():
        weak, strong = (
            (damage(clips[0], clips[1], s, torch.Generator().manual_seed(1)) - clips[0])
            .abs()
            .mean()
            for s in (0.2, 1.0)
        )
        assert strong > 1.5 * weak > 0, name
        # Within the range of pixels, which blending keeps up to rounding.
        hurt = damage(clips[0], clips[1], 1.0, torch.Generator().manual_seed(1))
        assert hurt.abs().max() <= 1 + 1e-5


def test_training_repeats_itself_and_learns(tmp_path):
    a, b = trained(SHORT), trained(SHORT)
    for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    other = trained(replace(SHORT, seed=1))
    assert not torch.equal(a.stem.weight, other.stem.weight)
    record = train_features(tmp_path / "features", SHORT)
    assert record == json.loads((tmp_path / "features" / "features.json").read_text())
    again = DigitsFeatures(tmp_path / "features")
    clips = labelled_batch(MovingDigits("features"), 0, range(4)).clips
    with torch.inference_mode():
        want = a.eval().features(clips)
    torch.testing.assert_close(torch.from_numpy(again(clips)), want, rtol=0.05, atol=0.05)
    losses = []

    def keep(done, total, what):
        losses.append(float(what.split("placement ")[1].split()[0]))

    train_features(tmp_path / "more", replace(SHORT, steps=40), keep)
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:4])


def test_cut_off_training_leaves_nothing(tmp_path):
    def stop(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_features(tmp_path / "features", SHORT, stop)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("keep")
    with pytest.raises(ValueError, match="holds other files"):
        train_features(tmp_path / "other", SHORT)


def test_wrong_clips_and_missing_weights(tmp_path):
    with pytest.raises(ValueError, match="sees 14 frames of 64x64"):
        FeatureNetwork().eval().features(torch.zeros(1, 8, 3, 64, 64))
    with pytest.raises(FileNotFoundError, match="mobilevd train-features -o"):
        DigitsFeatures(tmp_path)
    (tmp_path / "network.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="does not hold this feature network"):
        DigitsFeatures(tmp_path)


@pytest.fixture(scope="module")
def shipped():
    return DigitsFeatures()


def test_shipped_network_is_as_good_as_it_says(shipped):
    record = json.loads((SHIPPED / "features.json").read_text())
    assert record["training"] == vars(Training())
    found = held_out_figures(shipped.network, 128)
    for name, value in record["held_out"].items():
        assert found[name] == pytest.approx(value, rel=0.25), name
    assert record["held_out"]["value_accuracy"] > 0.6  # guessing: 0.2
    assert record["held_out"]["centre_error_pixels"] < 4
    assert record["held_out"]["damage_r2"] > 0.6


def real(seed, count=320):
    return DrawnClips(MovingDigits("test"), 14, (64, 64), seed).batch(range(count)).clips


@pytest.fixture(scope="module")
def sets(shipped):
    ours, others = real(1), real(2)
    target = gaussian_of(shipped(others))
    return ours, target, frechet_distance(gaussian_of(shipped(ours)), target)


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_raises_the_distance(shipped, sets, name):
    """Already when it is half as strong as it gets, and more when it is."""
    clips, target, floor = sets
    far, others = [], clips.roll(1, 0)
    for strength in (0.5, 1.0):
        generator = torch.Generator().manual_seed(0)
        hurt = torch.stack(
            [DAMAGES[name](c, o, strength, generator) for c, o in zip(clips, others, strict=True)]
        )
        far.append(frechet_distance(gaussian_of(shipped(hurt)), target))
    assert far[1] > far[0] > 1.5 * floor


def test_collapse_raises_the_distance(shipped, sets):
    """Ten clips over and over; digits of one value; clips half as lively."""
    clips, target, floor = sets

    def distance(x):
        return frechet_distance(gaussian_of(shipped(x)), target)

    few = clips[:10].repeat(32, 1, 1, 1, 1)
    slow = clips[:, torch.arange(14) // 2]
    source = MovingDigits("test")
    source.images = source.images[source.values == 3]
    source.values = source.values[source.values == 3]
    threes = DrawnClips(source, 14, (64, 64), 1).batch(range(320)).clips
    assert min(distance(few), distance(slow), distance(threes)) > 1.5 * floor
