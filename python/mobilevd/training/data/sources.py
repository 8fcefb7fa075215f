"""Sources of clips by name, as the command line has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError
from . import ClipSource, Mixture
from .digits import MovingDigits
from .ucf101 import Ucf101
from .video_folder import VideoFolder

KNOWN = ("builtin", "digits", "folder:PATH", "ucf101:PATH")
BUILT_IN_FPS = 7.0


def open_source(
    name: str,
    split: str = "train",
    fps: float | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> ClipSource:
    """One of ``KNOWN``; ``fps`` None: 7, which is all that the two built-in ones have.

    UsageError names the known ones for another name; ValueError says what is wrong with a path.
    """
    kind, _, path = name.partition(":")
    if kind in ("builtin", "digits") and not path:
        if fps not in (None, BUILT_IN_FPS):
            raise UsageError(f"{kind} clips have their own frame rate: fps goes with a path's source")
        return Mixture(split) if kind == "builtin" else MovingDigits(split)
    if kind not in ("folder", "ucf101") or not path:
        raise UsageError(f"unknown data '{name}'; known: {', '.join(KNOWN)}")
    opened = {"folder": VideoFolder, "ucf101": Ucf101}[kind]
    return opened(Path(path), fps or BUILT_IN_FPS, split, progress=progress)
