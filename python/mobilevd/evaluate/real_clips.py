"""Real clips by number, for pictures to start from and as what is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ..training.data import Batch, Clip, ClipData, ClipSource, Size, stacked
from ..training.data.shards import LatentShards
from ..training.data.sources import clips_of
from ..training.data.ucf101 import Ucf101


class Ucf101InOrder:
    """The evaluation clips of UCF-101, one per video, in the shuffle of ``seed``.

    Videos are read in their order; an earlier number starts again. Two seeds are two shuffles of
    the same videos, so real clips of both share some: the floor is a little low.
    """

    def __init__(self, source: Ucf101, frames: int, size: Size, seed: int) -> None:
        self.source, self.frames, self.size, self.seed = source, frames, size, seed
        self._start()

    def _start(self) -> None:
        drawn = self.source.evaluation_clips(None, self.frames, self.size, self.seed)
        self.next, self.clips = 0, (clip for _, clip in drawn)

    def batch(self, indices: Sequence[int]) -> Batch:
        return stacked([self._clip(i) for i in indices])

    def _clip(self, index: int) -> Clip:
        if index < self.next:
            self._start()
        ahead: Iterator[Clip] = islice(self.clips, index - self.next, None)
        self.next = index + 1
        try:
            return next(ahead)
        except StopIteration:
            raise ValueError(
                f"{self.source.where} has not enough videos for clip {index}: fewer --clips"
            ) from None


def clips_by_number(source: ClipSource, frames: int, size: Size, seed: int) -> ClipData:
    """The source's clips: UCF-101's by its protocol, others as drawn from stream ``seed``.

    ValueError: packed latents.
    """
    if isinstance(source, LatentShards):
        raise ValueError(f"{source.folder} holds latents, and distances are taken between videos")
    if isinstance(source, Ucf101):
        return Ucf101InOrder(source, frames, size, seed)
    return clips_of(source, frames, size, seed)
