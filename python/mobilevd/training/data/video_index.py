"""What a folder of videos holds, found out once and kept beside it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...whole_files import write_text
from .video_file import Unreadable, VideoFacts, probe

ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg")
CACHE = ".mobilevd-videos.json"
VERSION = 1  # of the cache's fields

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoIndex:
    """Files by their path inside the folder: readable ones with their facts, others with why."""

    videos: Mapping[str, VideoFacts]
    unreadable: Mapping[str, str]


def index_videos(
    folder: Path, progress: Callable[[int, int], object] = lambda done, total: None
) -> VideoIndex:
    """Every file below ``folder`` with a video's ending, in the order of their names.

    Kept in ``folder/.mobilevd-videos.json`` by size and time of change, so that a file is opened
    once; a folder that cannot be written to is looked through every time. ValueError: no folder,
    or no file with such an ending.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    if not paths:
        raise ValueError(f"no videos in {folder}: looked for {', '.join(ENDINGS)} at any depth")
    kept = _read_cache(folder / CACHE)
    entries: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor() as pool:

        def entry(path: Path) -> tuple[str, dict[str, Any]]:
            name, status = path.relative_to(folder).as_posix(), path.stat()
            stamp = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
            old = kept.get(name, {})
            if {k: old.get(k) for k in stamp} == stamp:
                return name, old
            try:
                return name, {**stamp, "facts": asdict(probe(str(path)))}
            except Unreadable as error:
                return name, {**stamp, "unreadable": str(error)}

        for name, found in pool.map(entry, paths):
            entries[name] = found
            progress(len(entries), len(paths))
    if entries != kept:
        try:
            write_text(folder / CACHE, json.dumps({"version": VERSION, "videos": entries}))
        except OSError as error:
            log.warning("cannot keep the index of %s: %s", folder, error)
    return VideoIndex(
        {n: VideoFacts(**e["facts"]) for n, e in entries.items() if "facts" in e},
        {n: e["unreadable"] for n, e in entries.items() if "unreadable" in e},
    )


def _read_cache(path: Path) -> dict[str, dict[str, Any]]:
    """What an earlier look found; nothing if that is another version's or damaged."""
    try:
        stored = json.loads(path.read_text())
        return stored["videos"] if stored["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
