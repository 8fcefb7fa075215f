"""UCF-101's layout with videos of the test's own; its protocol at 7 and 25 fps."""

from dataclasses import replace

import numpy as np
import pytest
from encoded_videos import encode, number_of
from mobilevd.errors import UsageError
from mobilevd.training.data import Mixture, MovingDigits, clip_rng
from mobilevd.training.data.shards import ShardClips, VideoShards
from mobilevd.training.data.sources import KNOWN, clips_of, open_source
from mobilevd.training.data.ucf101 import Ucf101
from mobilevd.training.data.video_folder import VideoFolder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Nine videos of three classes, 320x240, one too short for 7 fps and one damaged."""
    root = tmp_path_factory.mktemp("ucf")
    names = []
    for c in ("Archery", "Biking", "YoYo"):
        for group in (1, 8, 9):
            name = f"{c}/v_{c}_g{group:02}_c01.avi"
            frames = 30 if name.startswith("Biking/v_Biking_g01") else 60
            encode(root / "UCF-101" / name, frames, size=(240, 320), codec="mpeg4")
            names.append(name)
    broken = root / "UCF-101" / "YoYo/v_YoYo_g01_c01.avi"
    broken.write_bytes(broken.read_bytes()[:2000])
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    train = [n for n in names if "_g01_" not in n]
    test = [n for n in names if "_g01_" in n]
    (lists / "trainlist01.txt").write_text("".join(f"{n} {i}\r\n" for i, n in enumerate(train)))
    (lists / "testlist01.txt").write_text("\n".join([*test, ""]))
    (lists / "testlist02.txt").write_text("\n".join(names))
    (lists / "trainlist03.txt").write_text("Archery/v_Archery_g99_c01.avi 1\n")
    return root


def test_seven_fps_takes_every_3_57th_frame_and_25_all(root):
    for fps, wanted in (
        (7, [0, 4, 7, 11, 14, 18, 21, 25, 29, 32, 36, 39, 43, 46]),
        (25, list(range(14))),
    ):
        clips = list(Ucf101(root, fps, "train").evaluation_clips(None, 14))
        assert len(clips) == 6
        for _, clip in clips:
            assert clip.fps == fps
            assert clip.frames.shape == (14, 240, 320, 3)
            assert [number_of(f) for f in clip.frames] == pytest.approx(wanted, abs=1)


def test_evaluation_subset_is_the_same_at_every_rate_and_size(root):
    def names(fps, count, **more):
        clips = Ucf101(root, fps, "test", fold=2).evaluation_clips(count, 14, **more)
        return [name for name, _ in clips]

    seven = names(7, 5)
    assert len(set(seven)) == 5
    assert names(7, 3, size=(32, 64)) == seven[:3]
    assert [n for n in names(25, None) if n != "Biking/v_Biking_g01_c01.avi"][:5] == seven
    assert names(7, None, seed=1) != names(7, None)
    with pytest.raises(ValueError, match="has 7 videos for an evaluation on 2048"):
        names(7, 2048)


def test_whole_pictures_are_brought_to_the_size(root):
    _, clip = next(Ucf101(root, 25, "train").evaluation_clips(1, 2, size=(64, 128)))
    corners = [clip.frames[0, y, x].argmax() for y, x in ((3, 3), (3, -4), (-4, 3))]
    assert corners == [0, 1, 2]


def test_training_clips_are_cropped_and_short_and_damaged_videos_skipped(root, caplog):
    source = Ucf101(root, 7, "test")
    clip = source.draw(clip_rng(0, 0), 14, (64, 128))
    assert clip.frames.shape == (14, 64, 128, 3)
    assert [v.name for v in source.usable(14)] == ["Archery/v_Archery_g01_c01.avi"]
    assert "1 unreadable: YoYo/v_YoYo_g01_c01.avi" in caplog.text
    assert "1 shorter than 14 frames at 7 fps (1.86 s): Biking" in caplog.text
    assert len(Ucf101(root, 25, "test").usable(14)) == 2


def test_a_video_damaged_later_is_left_out_of_the_evaluation(root):
    source = Ucf101(root, 25, "train")
    first, second = (name for name, _ in source.evaluation_clips(2, 14))
    broken = next(i for i, v in enumerate(source.videos) if v.name == first)
    url = str(root / "ucfTrainTestlist" / "testlist01.txt")
    source.videos[broken] = replace(source.videos[broken], url=url)
    assert [name for name, _ in source.evaluation_clips(1, 14)] == [second]
    assert list(source.failed) == [first]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "features"}, "unknown split 'features'; known: train, test"),
        ({"split": "train", "fold": 2}, r"is not UCF-101: .*trainlist02.txt"),
        ({"split": "train", "fold": 3}, "1 of the 1 videos of trainlist03.txt are not in"),
    ],
)
def test_one_line_says_what_is_wrong(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        Ucf101(root, **arguments)


def test_sources_by_name(root, tmp_path, monkeypatch):
    monkeypatch.setattr("mobilevd.training.data.video_folder.split_of", lambda name: "train")
    assert isinstance(open_source("builtin", "test"), Mixture)
    assert isinstance(open_source("digits", "features", 7), MovingDigits)
    ucf = open_source(f"ucf101:{root}", "train", 25)
    assert isinstance(ucf, Ucf101)
    assert ucf.fps == 25
    folder = open_source(f"folder:{root}/UCF-101", fps=None)
    assert isinstance(folder, VideoFolder)
    assert folder.fps == 7
    drawn = clips_of(folder, 5, (24, 32), seed=4).batch([3])
    wanted = folder.draw(clip_rng(4, 3), 5, (24, 32)).frames
    assert np.array_equal(((drawn.clips[0] + 1) * 127.5).round().byte().permute(0, 2, 3, 1), wanted)
    from mobilevd.training.data.pack_shards import pack_shards

    pack_shards(root / "UCF-101", tmp_path / "shards")
    monkeypatch.setattr("mobilevd.training.data.shards.split_of", lambda name: "train")
    shards = open_source(f"shards:{tmp_path}/shards")
    assert isinstance(shards, VideoShards)
    assert isinstance(clips_of(shards, 5, (24, 32)), ShardClips)


@pytest.mark.parametrize("name", ["imagenet", "folder", "folder:", "", "ucf101:", "builtin:x"])
def test_unknown_source(name):
    with pytest.raises(UsageError, match=r"unknown data '.*'; known: ") as error:
        open_source(name)
    assert all(known in str(error.value) for known in KNOWN)


def test_built_in_clips_have_their_own_rate():
    with pytest.raises(UsageError, match="digits clips have their own frame rate"):
        open_source("digits", fps=25)
