"""A folder of videos of one's own, at any depth, of any size, rate and length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .video_clips import Video, VideoClips, check_split, split_of
from .video_index import index_videos


class VideoFolder(VideoClips):
    """The videos of one split: 80 % train, 10 % features, 10 % test, by their names' hash.

    Only the frames from the key frame before a clip to its end are decoded. ValueError (one line):
    no folder, no videos, none in this split, or, at the first draw, none long enough.
    """

    def __init__(
        self,
        folder: Path,
        fps: float = 7.0,
        split: str = "train",
        flip: bool = True,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> None:
        check_split(split)
        index = index_videos(folder, progress)
        super().__init__(
            f"{folder} ({split})",
            [
                Video(name, str(folder / name), facts)
                for name, facts in index.videos.items()
                if split_of(name) == split
            ],
            {name: why for name, why in index.unreadable.items() if split_of(name) == split},
            fps,
            flip,
        )
        if index.videos and not self.videos:
            raise ValueError(
                f"none of the {len(index.videos)} videos of {folder} falls into the split "
                f"'{split}': give it more videos"
            )
