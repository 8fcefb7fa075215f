"""Sources of clips by name, as the command line has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError
from . import ClipData, ClipSource, DrawnClips, Mixture, Size
from .digits import MovingDigits
from .shards import LatentShards, ShardClips, VideoShards, hold_latents
from .ucf101 import Ucf101
from .video_folder import VideoFolder

KNOWN = ("builtin", "digits", "folder:PATH", "ucf101:PATH", "shards:PATH")
BUILT_IN_FPS = 7.0


def open_source(
    name: str,
    split: str = "train",
    fps: float | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> ClipSource:
    """One of ``KNOWN``; ``fps`` None: 7, which is all that the two built-in ones have.

    ``progress`` hears of files looked into. UsageError names the known sources for another name;
    ValueError says what is wrong with a path.
    """
    kind, _, path = name.partition(":")
    if kind in ("builtin", "digits") and not path:
        if fps not in (None, BUILT_IN_FPS):
            raise UsageError(f"{kind} clips have their own frame rate: no other fps goes with them")
        return Mixture(split) if kind == "builtin" else MovingDigits(split)
    rate = BUILT_IN_FPS if fps is None else fps
    if path and kind == "folder":
        return VideoFolder(Path(path), rate, split, progress=progress)
    if path and kind == "ucf101":
        return Ucf101(Path(path), rate, split, progress=progress)
    if path and kind == "shards":
        if hold_latents(Path(path)):
            if fps is not None:
                raise UsageError(
                    f"{path} holds latents at a frame rate of their own: leave fps out"
                )
            return LatentShards(Path(path))
        return VideoShards(Path(path), rate, split)
    raise UsageError(f"unknown data '{name}'; known: {', '.join(KNOWN)}")


def clips_of(source: ClipSource, frames: int, size: Size, seed: int = 0) -> ClipData:
    """The source's clips by number: shards in an order of their own, others as drawn."""
    if isinstance(source, LatentShards):
        return source.ordered(frames, size, seed)
    if isinstance(source, VideoShards):
        return ShardClips(source, frames, size, seed)
    return DrawnClips(source, frames, size, seed)
