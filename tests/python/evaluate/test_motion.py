"""The motion metric sees what a Fréchet distance may forgive: still, jumbled and uniform clips."""

import numpy as np
import pytest
import torch
from mobilevd.evaluate.motion import (
    STATISTICS,
    motion_distance,
    motion_distances,
    motion_statistics,
)
from mobilevd.training.data import DrawnClips, MovingDigits

CLIPS = 160


@pytest.fixture(scope="module")
def real():
    """Two sets of real clips that share no draw; of the second, the statistics."""
    ours, others = (
        DrawnClips(MovingDigits("test"), 14, (64, 64), seed).batch(range(CLIPS)) for seed in (1, 2)
    )
    return ours, motion_statistics(others.clips, others.first)


def distance(real, change):
    batch, others = real
    return motion_distance(motion_statistics(change(batch), batch.first), others)


def still(batch):
    return batch.clips[:, :1].expand_as(batch.clips)


def backwards(batch):
    return batch.clips.flip(1)


def shuffled(batch):
    order = torch.randperm(14, generator=torch.Generator().manual_seed(0))
    return batch.clips[:, order]


def alike(batch):
    """Every picture slides the same way at the same speed."""
    return torch.stack([batch.first.roll((2 * f, f), (-1, -2)) for f in range(14)], 1)


def half_rate(batch):
    return batch.clips[:, torch.arange(14) // 2]


def sluggish(batch):
    """Half as fast: the first seven frames, each shown twice with a blend between."""
    first = batch.clips[:, :8]
    between = (first[:, 1:] + first[:, :-1]) / 2
    return torch.stack([first[:, :-1], between], 2).flatten(1, 2)


def colours_turn(batch):
    """What is white turns from red over green to blue."""
    share = torch.linspace(0, 1, 14)
    colours = torch.stack([1 - share, 1 - (2 * share - 1).abs(), share], 1)
    return (batch.clips + 1) * colours.reshape(1, -1, 3, 1, 1) - 1


def test_real_clips_are_near(real):
    assert distance(real, lambda batch: batch.clips) < 0.15


@pytest.mark.parametrize(
    ("change", "least"),
    [(still, 1.0), (backwards, 1.0), (shuffled, 2.0), (alike, 0.5), (half_rate, 0.7),
     (sluggish, 0.5), (colours_turn, 0.4)],
)  # fmt: skip
def test_bad_motion_is_far(real, change, least):
    assert distance(real, change) > least > 3 * distance(real, lambda batch: batch.clips)


def test_one_clip_over_and_over_is_far(real):
    batch, others = real
    one = motion_statistics(batch.clips[:1], batch.first[:1])
    assert motion_distance(one.repeat(CLIPS, 0), others) > 0.5


def test_brightness_and_a_little_noise_do_not_count_as_motion(real):
    floor = distance(real, lambda batch: batch.clips)
    noisy = distance(real, lambda b: b.clips + 0.01 * torch.randn(b.clips.shape))
    assert noisy < floor + 0.1


def test_statistics_of_a_moving_square():
    """A square of 8 pixels that goes 2 right and 1 down per frame, on black 32x32."""
    clip = torch.full((1, 5, 3, 32, 32), -1.0)
    for f in range(5):
        clip[0, f, 0, 4 + f : 12 + f, 2 + 2 * f : 10 + 2 * f] = 1
    found = dict(zip(STATISTICS, motion_statistics(clip, clip[:, 0])[0], strict=True))
    assert found["shift_x"] == pytest.approx(8 / 32, rel=1e-6)
    assert found["shift_y"] == pytest.approx(4 / 32, rel=1e-6)
    assert found["speed"] == pytest.approx(np.hypot(2, 1) / 32, rel=1e-6)
    assert found["last_shift"] == pytest.approx(np.hypot(8, 4) / 32, rel=1e-6)
    # Of 64 lit positions, 22 leave and 22 come; one of three colours; each change is 2.
    assert found["change"] == pytest.approx(44 * 2 / (3 * 32 * 32), rel=1e-6)
    for name in ("jerk", "first_shift", "spread_change", "light_unevenness", "change_unevenness"):
        assert found[name] == pytest.approx(0, abs=1e-6)
    assert found["colour_unevenness"] == 0


def test_black_clips_have_finite_statistics():
    assert np.isfinite(
        motion_statistics(torch.full((2, 4, 3, 8, 8), -1.0), torch.full((2, 3, 8, 8), -1.0))
    ).all()
    with pytest.raises(ValueError, match="of 3 frames"):
        motion_statistics(torch.zeros(1, 2, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def test_distances_are_per_statistic():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200, len(STATISTICS)))
    b = a.copy()
    b[:, 0] += 1
    found = motion_distances(b, a)
    assert found["change"] == pytest.approx(1 / np.hypot(a[:, 0].std(), STATISTICS["change"]))
    assert sum(found.values()) == found["change"]
