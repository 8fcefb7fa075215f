"""Clips of a folder of odd and damaged videos; the resampling rule; seeking equals decoding all."""

import json
import logging
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from encoded_videos import encode, number_of
from hypothesis import given
from hypothesis import strategies as st
from mobilevd.training.data import clip_rng
from mobilevd.training.data.crops import largest_of_shape
from mobilevd.training.data.resampling import resampled
from mobilevd.training.data.video_clips import split_of
from mobilevd.training.data.video_file import Unreadable, probe, read_clip, upright
from mobilevd.training.data.video_folder import VideoFolder
from mobilevd.training.data.video_index import CACHE, index_videos

gaps = st.lists(st.fractions(Fraction(1, 1000), 2, max_denominator=1000), max_size=40)
rates = st.sampled_from([Fraction(7), Fraction(25), Fraction(30000, 1001), Fraction(1, 3)])


@given(gaps, st.fractions(0, 4, max_denominator=900), rates, st.integers(1, 20))
def test_resampling_rule_is_the_nearest_frame(steps, start, fps, count):
    """Against the definition, frame by frame over the whole list."""
    times = [sum(steps[:i], Fraction(0)) for i in range(len(steps) + 1)]
    t0 = max((t for t in times if t <= start), default=times[0])
    wanted = [t0 + k / fps for k in range(count) if t0 + k / fps <= times[-1]]
    nearest = [min(times, key=lambda t, w=w: (abs(t - w), t)) for w in wanted]
    assert list(resampled([(t, t) for t in times], start, fps, count)) == nearest


def test_resampling_reads_no_further_than_it_must():
    source = ((Fraction(i, 25), i) for i in range(1000))
    assert list(resampled(source, Fraction(1), Fraction(7), 3)) == [25, 29, 32]
    assert next(source)[1] < 36


@given(st.tuples(*[st.integers(1, 999)] * 2), st.tuples(*[st.integers(1, 999)] * 2))
def test_the_largest_box_touches_two_sides_and_has_the_shape(within, shape):
    height, width = largest_of_shape(within, shape)
    assert height == within[0] or width == within[1]
    assert height <= within[0]
    assert width <= within[1] * (1 + 1e-12)
    assert width / height == pytest.approx(shape[1] / shape[0])


KINDS = {
    "b_frames.mp4": {},
    "h264.avi": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "no_b_frames.avi": {"codec": "mpeg4", "bf": "0"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg1.mpg": {"codec": "mpeg1video"},
    "ntsc.mkv": {"rate": Fraction(30000, 1001)},
    "variable.mp4": {"times": [Fraction(i, 40) + Fraction(i * i, 2000) for i in range(60)]},
    "odd.mp4": {"size": (51, 67)},
}


@pytest.mark.parametrize("name", KINDS)
def test_seeking_gives_the_frames_of_decoding_everything(name, tmp_path):
    path = encode(tmp_path / name, frames=60, **KINDS[name])
    with av.open(str(path)) as container:
        decoded = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert len(decoded) == 60
    facts = probe(str(path))
    if name.endswith(".avi"):  # no times of their own: frames are counted
        decoded = [(i / 25, f) for i, (_, f) in enumerate(decoded)]
        if facts.first:  # without B-frames FFmpeg numbers from its first packet on
            decoded = [(t + facts.first, f) for t, f in decoded]
    assert facts.last == pytest.approx(decoded[-1][0])
    for start in (0.0, 0.31, 0.97, 1.5):
        exact = [(Fraction(t).limit_denominator(90000), f) for t, f in decoded]
        whole = list(resampled(exact, Fraction(facts.first + start), Fraction(7), 4))
        seen = read_clip(str(path), facts.first + start, Fraction(7), 4)
        for a, b in zip(seen, whole, strict=True):
            assert np.array_equal(a.to_ndarray(format="rgb24"), b)


def test_only_what_is_needed_is_decoded(tmp_path, monkeypatch):
    path = encode(tmp_path / "long.mp4", frames=80)
    decoded = []
    original = av.VideoFrame.to_image
    seen = list(read_clip(str(path), 2.5, Fraction(25), 2))
    assert [number_of(np.asarray(original(f))) for f in seen] == [62, 63]
    from mobilevd.training.data import video_file

    def counted(frame, stream):
        decoded.append(frame.pts)
        return time(frame, stream)

    time = video_file._time
    monkeypatch.setattr(video_file, "_time", counted)
    list(read_clip(str(path), 2.5, Fraction(25), 2))
    assert len(decoded) < 12


def test_rotated_and_vertical_videos_are_upright_and_not_squashed(tmp_path):
    # A phone held upright: stored lying, to be turned by 90 degrees counterclockwise.
    encode(tmp_path / "rotated.mp4", size=(48, 96), rotation=90)
    source = VideoFolder(tmp_path, split=split_of("rotated.mp4"), flip=False)
    clip = source.draw(clip_rng(0, 0), 5, (96, 48))
    assert clip.frames.shape == (5, 96, 48, 3)
    corners = [clip.frames[0, y, x].argmax() for y, x in ((4, 4), (-5, 4))]
    assert corners == [1, 0]  # the stored top right (green), then top left (red) at the bottom
    assert clip.frames[0, 4, -5].min() > 200  # stored bottom right: white
    wide = source.draw(clip_rng(0, 0), 5, (24, 48)).frames  # crops the height, keeps the width
    assert wide.shape == (5, 24, 48, 3)


def test_wide_pixels_are_shown_at_their_shape():
    assert largest_of_shape((576, 720), (9, 16), 64 / 45) == pytest.approx((576, 720))
    assert largest_of_shape((576, 720), (576, 720), 64 / 45) == pytest.approx((576, 506.25))


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory):
    """Two good videos, one short, one slow, and four that are none."""
    folder = tmp_path_factory.mktemp("videos")
    good = encode(folder / "class a" / "good.mp4", frames=80)
    encode(folder / "good.avi", frames=80, codec="mpeg4")
    encode(folder / "short.mp4", frames=10)
    encode(folder / "slow.mkv", rate=3)
    (folder / "text.mp4").write_text("not a video")
    (folder / "empty.webm").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture
def everything(monkeypatch):
    """One split for all names."""
    monkeypatch.setattr("mobilevd.training.data.video_folder.split_of", lambda name: "train")


def test_odd_files_are_skipped_and_counted(mixed_folder, everything, caplog):
    source = VideoFolder(mixed_folder)
    assert sorted(source.unreadable) == ["cut.mp4", "empty.webm", "text.mp4"]
    clips = [source.draw(clip_rng(1, i), 14, (32, 64)) for i in range(8)]
    assert {v.name for v in source.usable(14)} == {"class a/good.mp4", "good.avi"}
    for text in ("3 unreadable: cut.mp4 (", "1 below 7 fps: slow.mkv", "1 shorter than 14 frames"):
        assert text in caplog.text
    assert all(c.fps == 7 and c.frames.shape == (14, 32, 64, 3) for c in clips)
    again = VideoFolder(mixed_folder).draw(clip_rng(1, 3), 14, (32, 64))
    assert np.array_equal(again.frames, clips[3].frames)
    assert again.motion_bucket == clips[3].motion_bucket > 0
    numbers = [number_of(f) for f in clips[3].frames]
    steps = np.diff(numbers)
    assert 3 * 13 <= steps.sum() <= 4 * 13
    assert len({c.frames.tobytes() for c in clips}) == 8


def test_a_video_cut_after_its_index_is_used_up_to_there(tmp_path, everything):
    """The header promises more than there is; what is there is whole."""
    noise = np.random.default_rng(0)
    path = tmp_path / "streamed.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt, stream.options = "yuv420p", {"g": "12"}
        for _ in range(80):
            picture = noise.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    whole = path.read_bytes()
    assert probe(str(path)).last == pytest.approx(79 / 25)
    path.write_bytes(whole[: len(whole) * 6 // 10])
    assert 1.0 < probe(str(path)).last < 2.2
    assert VideoFolder(tmp_path).draw(clip_rng(0, 0), 5, (16, 16)).frames.std() > 0


def test_a_file_that_breaks_later_is_counted_and_another_drawn(tmp_path, everything, caplog):
    for i in range(3):
        encode(tmp_path / f"{i}.mp4", frames=60)
    source = VideoFolder(tmp_path)
    (tmp_path / "1.mp4").write_bytes(b"gone")
    with caplog.at_level(logging.WARNING):
        clips = [source.draw(clip_rng(0, i), 5, (16, 16)) for i in range(12)]
    assert len(clips) == 12
    assert list(source.failed) == ["1.mp4"]
    assert caplog.text.count("skipped 1.mp4") == 1
    for i in (0, 2):
        (tmp_path / f"{i}.mp4").write_bytes(b"gone")
    with pytest.raises(ValueError, match=r"50 videos in a row of .* cannot be read: 1.mp4 \("):
        source.draw(clip_rng(0, 0), 5, (16, 16))


def test_index_is_made_once_and_follows_changes(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4")
    first = index_videos(tmp_path)
    opened = []

    def counting(url):
        opened.append(url)
        return probe(url)

    monkeypatch.setattr("mobilevd.training.data.video_index.probe", counting)
    assert index_videos(tmp_path) == first
    assert opened == []
    path.write_bytes(b"broken")
    assert list(index_videos(tmp_path).unreadable) == ["a.mp4"]
    encode(path, frames=30)
    assert index_videos(tmp_path).videos["a.mp4"].last == pytest.approx(29 / 25)
    assert len(opened) == 2
    (tmp_path / CACHE).write_text('{"version": 0, "videos": 3')
    assert index_videos(tmp_path).videos
    assert len(opened) == 3
    assert json.loads((tmp_path / CACHE).read_text())["videos"]["a.mp4"]["facts"]["rate"] == 25


def test_folder_that_cannot_be_written_to(tmp_path, monkeypatch, caplog):
    encode(tmp_path / "a.mp4", frames=5)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    assert index_videos(tmp_path).videos
    assert "cannot keep the index" in caplog.text
    assert sorted(os.listdir(tmp_path)) == ["a.mp4"]


def test_splits_share_no_video():
    names = [f"video{i}.mp4" for i in range(2000)]
    shares = {s: sum(split_of(n) == s for n in names) / 2000 for s in ("train", "features", "test")}
    assert shares == pytest.approx({"train": 0.8, "features": 0.1, "test": 0.1}, abs=0.03)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "none", "no folder .*none"),
        (lambda d: d, "no videos in .*looked for .mp4"),
        (lambda d: (d / "a.mp4").write_text("x") and d, "no usable clip in .*1 unreadable: a.mp4"),
        (
            lambda d: encode(d / "a.mp4", frames=9).parent,
            r"1 shorter than 14 .*a.mp4 \(0.32",
        ),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, everything, make, message):
    with pytest.raises(ValueError, match=message) as error:
        VideoFolder(make(tmp_path)).draw(clip_rng(0, 0), 14, (16, 16))
    assert "\n" not in str(error.value)


def test_unknown_split_and_rate(tmp_path):
    encode(tmp_path / "a.mp4", frames=5)
    with pytest.raises(ValueError, match="unknown split 'validation'; known: train, feat"):
        VideoFolder(tmp_path, split="validation")
    with pytest.raises(ValueError, match="above 0, not -1"):
        VideoFolder(tmp_path, fps=-1, split=split_of("a.mp4"))
    empty = next(s for s in ("features", "test") if s != split_of("a.mp4"))
    with pytest.raises(ValueError, match="none of the 1 videos"):
        VideoFolder(tmp_path, split=empty)


def test_ends_early_is_unreadable(tmp_path):
    path = encode(tmp_path / "a.mp4", frames=10)
    with pytest.raises(Unreadable, match="ends 2 frames early"):
        [upright(f) for f in read_clip(str(path), 0.0, Fraction(7), 5)]
