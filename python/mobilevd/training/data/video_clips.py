"""Random clips of many video files, whatever holds them: a folder, UCF-101, shards."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .clip import Clip, Size, motion_bucket
from .crops import largest_of_shape, placed, resized
from .video_file import Unreadable, VideoFacts, read_clip, upright

log = logging.getLogger(__name__)

SLOWEST = 0.95  # of the wanted rate: below, more than one frame in twenty would be a repeated one
TRIES = 50  # videos in a row that cannot be read before a draw gives up
SHARES = {"train": range(8), "features": range(8, 9), "test": range(9, 10)}  # of ten


@dataclass(frozen=True)
class Video:
    """``url`` is what FFmpeg opens; ``rate``: count frames at it instead of reading their times."""

    name: str
    url: str
    facts: VideoFacts
    rate: Fraction | None = None


def split_of(name: str) -> str:
    """By a hash of the name alone: other files coming or going move nothing between splits."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 10
    return next(split for split, shares in SHARES.items() if share in shares)


def check_split(split: str, known: Sequence[str] = tuple(SHARES)) -> None:
    if split not in known:
        raise ValueError(f"unknown split '{split}'; known: {', '.join(known)}")


class VideoClips:
    """Clips at ``fps``: a video, a start in it, the place of the largest crop, mirrored or not.

    Videos are equally likely whatever their length. One that turns out damaged while it is read is
    counted in ``failed`` (logged once) and another is drawn, so that a clip stays a function of the
    generator. ``where`` is for messages, ``unreadable`` what an index has sorted out already.
    """

    def __init__(
        self,
        where: str,
        videos: Sequence[Video],
        unreadable: Mapping[str, str],
        fps: float,
        flip: bool = True,
    ) -> None:
        if not fps > 0:
            raise ValueError(f"frames per second must be above 0, not {fps:g}")
        self.where, self.videos, self.unreadable = where, videos, unreadable
        self.fps, self.flip = Fraction(fps).limit_denominator(1001), flip
        self.failed: dict[str, str] = {}
        self._usable: dict[int, list[Video]] = {}

    def __repr__(self) -> str:
        """What decides about its clips: runs and caches are known by it."""
        flip = ", flipped" if self.flip else ""
        kind = type(self).__name__
        return f"{kind}({self.where}, {len(self.videos)} videos, {float(self.fps):g} fps{flip})"

    def usable(self, frames: int) -> list[Video]:
        """Videos long and fast enough for clips of ``frames``; ValueError if there are none."""
        if frames not in self._usable:
            fast = [v for v in self.videos if v.facts.rate >= SLOWEST * self.fps]
            long = [v for v in fast if v.facts.seconds >= self.span(frames)]
            skipped = self._skipped(frames, len(fast), len(long))
            if not long:
                raise ValueError(f"no usable clip in {self.where}: {skipped or 'no videos'}")
            if skipped:
                log.warning("%s: %d videos; skipped: %s", self.where, len(long), skipped)
            self._usable[frames] = long
        return self._usable[frames]

    def span(self, frames: int) -> float:
        """Seconds from the first to the last frame of a clip."""
        return float((frames - 1) / self.fps)

    def _skipped(self, frames: int, fast: int, long: int) -> str:
        """One line: how many, why, and the first names."""
        parts = []
        if self.unreadable:
            first = [f"{n} ({why})" for n, why in list(self.unreadable.items())[:3]]
            parts.append(f"{len(self.unreadable)} unreadable: {_some(first, self.unreadable)}")
        if fast < len(self.videos):
            slow = [v.name for v in self.videos if v.facts.rate < SLOWEST * self.fps]
            parts.append(f"{len(slow)} below {float(self.fps):g} fps: {_some(slow[:3], slow)}")
        if long < fast:
            short = [
                f"{v.name} ({v.facts.seconds:.2f} s)"
                for v in self.videos
                if v.facts.rate >= SLOWEST * self.fps and v.facts.seconds < self.span(frames)
            ]
            clip = f"{frames} frames at {float(self.fps):g} fps ({self.span(frames):.2f} s)"
            parts.append(f"{len(short)} shorter than {clip}: {_some(short[:3], short)}")
        return "; ".join(parts)

    def draw(self, rng: np.random.Generator, frames: int, size: Size) -> Clip:
        videos = self.usable(frames)
        for _ in range(TRIES):
            video = videos[rng.integers(len(videos))]
            try:
                return self.cut(video, rng, frames, size)
            except Unreadable as error:
                self.fail(video, error)
        first = "; ".join(f"{n} ({why})" for n, why in list(self.failed.items())[:3])
        raise ValueError(f"{TRIES} videos in a row of {self.where} cannot be read: {first}")

    def cut(self, video: Video, rng: np.random.Generator, frames: int, size: Size) -> Clip:
        """A random clip of this video; :class:`Unreadable` if it turns out damaged."""
        moment, down, right, mirror = rng.random(4)
        start = video.facts.first + moment * (video.facts.seconds - self.span(frames))
        out = self.read(video, start, frames, size, (down, right))
        if self.flip and mirror < 0.5:
            out = np.ascontiguousarray(out[:, :, ::-1])
        return Clip(out, float(self.fps), motion_bucket(out))

    def fail(self, video: Video, error: Unreadable) -> None:
        if video.name not in self.failed:
            self.failed[video.name] = str(error)
            log.warning("%s: skipped %s (%s)", self.where, video.name, error)

    def read(
        self,
        video: Video,
        start: float,
        frames: int,
        size: Size,
        place: tuple[float, float] = (0.5, 0.5),
    ) -> np.ndarray:
        """uint8 [F, H, W, 3] from ``start`` (s) on: the largest crop of the size's shape."""
        out = np.empty((frames, *size, 3), np.uint8)
        clip = read_clip(video.url, start, self.fps, frames, video.rate)
        for f, frame in enumerate(clip):
            picture = upright(frame)
            aspect = video.facts.pixel_aspect
            aspect = aspect if frame.rotation % 180 == 0 else 1 / aspect
            within = (picture.height, picture.width)
            box = placed(within, largest_of_shape(within, size, aspect), *place)
            out[f] = np.asarray(resized(picture, box, size))
        return out


def _some(first: Sequence[str], everything: Sequence[str] | Mapping[str, str]) -> str:
    return ", ".join(first) + (", ..." if len(everything) > len(first) else "")
