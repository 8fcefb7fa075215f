"""Frames of one video file at a steady rate, decoded from the key frame before the clip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import av
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL import Image

from .resampling import resampled


class Unreadable(ValueError):
    """A file that holds no video that can be read to where it should end."""


@dataclass(frozen=True)
class VideoFacts:
    """Times of the first and the last frame (s) and frames per second, as the file has them.

    ``pixel_aspect`` is the width of a pixel over its height: 1 but for old television formats.
    """

    first: float
    last: float
    rate: float
    pixel_aspect: float = 1.0

    @property
    def seconds(self) -> float:
        return self.last - self.first


@contextmanager
def _opened(url: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """FFmpeg's errors, at any point, become :class:`Unreadable`."""
    try:
        with av.open(url) as container:
            if not container.streams.video:
                raise Unreadable("no video stream")
            yield container, container.streams.video[0]
    except (av.error.FFmpegError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error  # EOFError has none
        raise Unreadable(str(reason).lower()) from None


def _has_times(container: InputContainer, stream: VideoStream) -> bool:
    """AVI keeps no times; FFmpeg's guesses are wrong where frames were coded out of order."""
    return container.format.name != "avi" or not stream.codec_context.has_b_frames


def _rate(stream: VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise Unreadable("no frame rate")
    return Fraction(rate)


def _time(frame: av.VideoFrame, stream: VideoStream) -> Fraction:
    if frame.pts is None or stream.time_base is None:
        raise Unreadable("a frame without a time")
    return Fraction(frame.pts * stream.time_base)


def probe(url: str) -> VideoFacts:
    """Reads the head and the packets after the last key frame, or all packets of a damaged file.

    Unreadable: no video, or its first frame cannot be decoded.
    """
    with _opened(url) as (container, stream):
        head = next(container.decode(stream), None)
        if head is None:
            raise Unreadable("no frames")
        rate, aspect = _rate(stream), float(stream.sample_aspect_ratio or 1)
        if not _has_times(container, stream):
            container.seek(0)
            count = sum(packet.size > 0 for packet in container.demux(stream))
            return VideoFacts(0.0, float((count - 1) / rate), float(rate), aspect)
        base, first = stream.time_base, _time(head, stream)
        assert base is not None
        # Where the header says that the end is; a cut file has nothing there.
        if stream.duration:
            container.seek((stream.start_time or 0) + stream.duration, stream=stream)
        elif container.duration:
            container.seek(container.duration)
        last = _last_time(container, stream)
        if last is None:
            container.seek(0)
            last = _last_time(container, stream)
        return VideoFacts(float(first), float(max(first, (last or 0) * base)), float(rate), aspect)


def _last_time(container: InputContainer, stream: VideoStream) -> int | None:
    times = (p.pts for p in container.demux(stream) if p.size and p.pts is not None)
    return max(times, default=None)


def read_clip(
    url: str, start: float, fps: Fraction, count: int, rate: Fraction | None = None
) -> Iterator[av.VideoFrame]:
    """Exactly ``count`` frames from ``start`` (s) on, by the rule of ``resampling``, one at a time.

    ``rate``: frames are counted from the file's first one at this rate, whatever times they have
    (so are an AVI's with B-frames, which FFmpeg cannot seek to exactly). Unreadable: the file is
    damaged or ends before.
    """
    with _opened(url) as (container, stream):
        if rate is None and not _has_times(container, stream):
            rate = _rate(stream)
        if rate is None:
            frames = _from(container, stream, Fraction(start))
        else:
            frames = ((i / rate, f) for i, f in enumerate(container.decode(stream)))
        found = 0
        for frame in resampled(frames, Fraction(start), fps, count):
            if frame.is_corrupt:
                raise Unreadable("a damaged frame")
            yield frame
            found += 1
        if found < count:
            raise Unreadable(f"ends {count - found} frames early")


def _from(
    container: InputContainer, stream: VideoStream, start: Fraction
) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """(time, frame) in order, from a frame that is not after ``start`` if there is one."""
    assert stream.time_base is not None
    container.seek(int(start / stream.time_base), stream=stream)
    frames = container.decode(stream)
    head = next(frames, None)
    if head is None or _time(head, stream) > start:  # an index that lies, or none
        container.seek(0)
        frames, head = container.decode(stream), None
    before: Fraction | None = None
    for frame in chain([head] if head is not None else [], frames):
        time = _time(frame, stream)
        if before is not None and time <= before:
            raise Unreadable("times that go backwards")
        before = time
        yield time, frame


def upright(frame: av.VideoFrame) -> Image.Image:
    """The picture as a player shows it: a phone's rotation applied."""
    turned = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180,
              270: Image.Transpose.ROTATE_270}.get(frame.rotation % 360)  # fmt: skip
    picture = frame.to_image()
    return picture.transpose(turned) if turned is not None else picture
