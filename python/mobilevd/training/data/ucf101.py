"""UCF-101 (Soomro et al. 2012) in its own layout, and its evaluation at 7 and 25 fps.

    ROOT/UCF-101/<Class>/v_<Class>_gXX_cYY.avi        13 320 videos, 101 classes, 320x240
    ROOT/ucfTrainTestlist/{trainlist,testlist}0{1,2,3}.txt

Protocol (facts: mobilevd-paper 2.7): the first frame of a video is the condition, 14 frames, one
clip per video from its first frame on. The videos count as 25 fps: 25 means consecutive frames, 7
every 3.57th (by the rule of ``resampling``, frames 0, 4, 7, 11, 14, ...); the UNet is told that
rate. Which and how many videos the papers took is not published; ours are named by a seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from .clip import Clip, Size, motion_bucket
from .video_clips import Video, VideoClips, check_split
from .video_file import Unreadable, read_clip, upright
from .video_index import index_videos

NATIVE = Fraction(25)


class Ucf101(VideoClips):
    """One split (train, test) of a fold (1, 2, 3) as a source of random, cropped clips.

    ``evaluation_clips`` are the protocol's. ValueError (one line): a folder that is not UCF-101,
    a list without videos or videos that are missing.
    """

    def __init__(
        self,
        root: Path,
        fps: float = 7.0,
        split: str = "train",
        fold: int = 1,
        flip: bool = True,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> None:
        check_split(split, ("train", "test"))
        videos, listed = root / "UCF-101", root / "ucfTrainTestlist" / f"{split}list{fold:02}.txt"
        if not videos.is_dir() or not listed.is_file():
            raise ValueError(
                f"{root} is not UCF-101: it needs the folder UCF-101 (videos by class) and "
                f"ucfTrainTestlist/{listed.name}"
            )
        # trainlist has the class's number after the name.
        names = [line.split()[0] for line in listed.read_text().splitlines() if line.strip()]
        index = index_videos(videos, progress)
        missing = [n for n in names if n not in index.videos and n not in index.unreadable]
        if missing:
            raise ValueError(
                f"{len(missing)} of the {len(names)} videos of {listed.name} are not in {videos}: "
                f"{', '.join(missing[:3])}"
            )
        found = [
            Video(name, str(videos / name), index.videos[name], NATIVE)
            for name in names
            if name in index.videos
        ]
        super().__init__(
            f"{root} ({split}list{fold:02})",
            found,
            {n: index.unreadable[n] for n in names if n in index.unreadable},
            fps,
            flip,
        )

    def evaluation_clips(
        self, count: int | None, frames: int, size: Size = (240, 320), seed: int = 0
    ) -> Iterator[tuple[str, Clip]]:
        """(name, clip) of ``count`` videos (None: of all), whole pictures from the first frame on.

        The same videos for every ``frames``, ``size`` and ``fps`` as far as they are long enough;
        more of them for a greater ``count``. Whole pictures are brought to ``size`` whatever its
        shape, since generated clips go back to 320x240 before they are compared. A damaged video
        is counted in ``failed`` and the next one taken. ValueError if too few are left.
        """
        usable = {v.name for v in self.usable(frames)}
        done = 0
        for video in sorted(self.videos, key=lambda v: _order(seed, v.name)):
            if video.name not in usable:
                continue
            if done == count:
                return
            try:
                clip = read_clip(video.url, 0.0, self.fps, frames, NATIVE)
                pictures = [upright(f).resize(size[::-1], Image.Resampling.BICUBIC) for f in clip]
            except Unreadable as error:
                self.fail(video, error)
                continue
            done += 1
            out = np.stack([np.asarray(p) for p in pictures])
            yield video.name, Clip(out, float(self.fps), motion_bucket(out))
        if count is not None and done < count:
            raise ValueError(f"{self.where} has {done} videos for an evaluation on {count}")


def _order(seed: int, name: str) -> bytes:
    """A shuffle that stays as it is when videos are left out, in every version of numpy."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
