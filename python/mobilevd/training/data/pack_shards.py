"""Writes WebDataset shards: each appears whole or not at all, and a stopped run goes on."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image

from ...whole_files import whole_file
from .cached_latents import CachedLatents
from .shards import Sample, index_shard, video_ending
from .video_index import index_videos

Members = Callable[[], Mapping[str, bytes]]  # read when the sample's turn comes


def pack_shards(
    source: Path,
    output: Path,
    shard_mb: float = 256.0,
    progress: Callable[[int, int, str], object] = lambda done, total, what: None,
) -> dict[str, object]:
    """Packs a folder of videos, or one of cached latents, into ``output/shard-NNNNNN.tar``.

    Videos go in as they are, unreadable ones not at all; one at a time is in memory. A shard is
    closed before it would pass ``shard_mb`` MB (10^6 bytes; a larger sample is a shard alone). Each
    is written beside its place, renamed when whole and not written again by a later run over the
    same source. Returns the figures to print. ValueError: nothing to pack, an output that holds
    anything else or shards of another source.
    """
    if not shard_mb > 0:
        raise ValueError(f"shards need more than {shard_mb:g} MB")
    latents = (source / "latents.npy").is_file()
    samples = _of_latents(source) if latents else _of_videos(source)
    listed = [(name, size, members) for name, size, members in samples]
    plan = _cut([size for _, size, _ in listed], shard_mb * 1e6)
    _check_output(output, len(plan))
    output.mkdir(parents=True, exist_ok=True)
    written = 0
    for number, part in enumerate(plan):
        path = output / f"shard-{number:06}.tar"
        progress(number, len(plan), path.name)
        if path.is_file():
            there = index_shard(path)
            if len(there) != len(part) or not all(
                _same(s, *listed[i][:2]) for s, i in zip(there, part, strict=True)
            ):
                raise ValueError(f"{path} holds samples of another source: choose a new folder")
            continue
        with whole_file(path) as temporary:
            _write(temporary, {f"{i:08}": listed[i] for i in part})
        index_shard(path)
        written += 1
    return {
        "kind": "latents" if latents else "videos",
        "samples": len(listed),
        "shards": len(plan),
        "written": written,
        "bytes": sum((output / f"shard-{n:06}.tar").stat().st_size for n in range(len(plan))),
        "unreadable": {} if latents else dict(index_videos(source).unreadable),
    }


def _of_videos(folder: Path) -> Iterator[tuple[str, int, Members]]:
    index = index_videos(folder)
    if not index.videos:
        why = "; ".join(f"{n} ({w})" for n, w in list(index.unreadable.items())[:3])
        raise ValueError(f"no readable video in {folder}: {why}")
    for name in index.videos:
        path = folder / name

        def members(path: Path = path) -> Mapping[str, bytes]:
            return {path.suffix[1:].lower(): path.read_bytes()}

        yield name, path.stat().st_size, members


def _of_latents(folder: Path) -> Iterator[tuple[str, int, Members]]:
    kept = CachedLatents(folder)
    source = hashlib.sha256((folder / "about.json").read_bytes()).hexdigest()[:16]
    size = kept.latents[0].nbytes + kept.first[0].nbytes
    for i in range(len(kept.latents)):

        def members(i: int = i) -> Mapping[str, bytes]:
            array, picture = io.BytesIO(), io.BytesIO()
            np.save(array, kept.latents[i], allow_pickle=False)
            Image.fromarray(kept.first[i].transpose(1, 2, 0)).save(picture, "PNG")
            fps, bucket = (float(v) for v in kept.conditions[i])
            about = {"name": f"{source}/{i:08}", "fps": fps, "motion_bucket": bucket}
            return {
                "latents.npy": array.getvalue(),
                "first.png": picture.getvalue(),
                "json": json.dumps(about).encode(),
            }

        yield f"{source}/{i:08}", size, members


def _same(sample: Sample, name: str, size: int) -> bool:
    ending = video_ending(sample.members)
    return sample.name == name and (ending is None or sample.members[ending][1] == size)


def _cut(sizes: list[int], limit: float) -> list[list[int]]:
    """Consecutive parts of at most ``limit`` bytes, or of one sample."""
    parts: list[list[int]] = []
    filled = 0.0
    for i, size in enumerate(sizes):
        if not parts or filled + size > limit:
            parts.append([])
            filled = 0.0
        parts[-1].append(i)
        filled += size
    return parts


def _check_output(output: Path, shards: int) -> None:
    own = {f"shard-{n:06}.tar" for n in range(shards)}
    own |= {f".{name}.index.json" for name in own}
    if output.exists():
        leftover = ".shard-"  # of a run that was killed
        others = [p.name for p in output.iterdir() if p.name not in own]
        others = [n for n in others if not (n.startswith(leftover) and ".tmp." in n)]
        if others:
            raise ValueError(f"{output} holds other files ({others[0]}): choose a new folder")


def _write(path: Path, samples: Mapping[str, tuple[str, int, Members]]) -> None:
    with (
        path.open("wb") as file,
        webdataset.TarWriter(file, encoder=False, mtime=0, user="", group="") as tar,
    ):
        for key, (name, _, members) in samples.items():
            about = {"json": json.dumps({"name": name}).encode()}
            tar.write({"__key__": key, **about, **members()})
