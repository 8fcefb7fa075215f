"""WebDataset shards: tar files that hold videos, or clips as the VAE's latents, by the hundred.

The files are WebDataset's (webdataset reads them, and those of others are read here), but samples
are found by their place in the file instead of by streaming: a clip stays a function of its number,
so a run resumes at any step. Shards lie on disks or mounted storage.
"""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from PIL import Image

from ...whole_files import write_text
from . import Batch, Size, clip_rng, stacked
from .clip import Clip
from .shard_order import ShardOrder
from .video_clips import Video, VideoClips, check_split, split_of
from .video_file import Unreadable, VideoFacts, probe
from .video_index import ENDINGS

log = logging.getLogger(__name__)

VERSION = 1
Place = tuple[int, int]  # first byte, bytes


@dataclass(frozen=True)
class Sample:
    """``members``: places in the tar file by ending ("mp4", "json", "latents.npy")."""

    name: str
    members: Mapping[str, Place]
    facts: VideoFacts | None = None
    unreadable: str | None = None


def index_shard(path: Path) -> list[Sample]:
    """What a shard holds, kept beside it in ``.<name>.index.json`` (by the shard's size).

    ValueError: the file is no whole tar file.
    """
    kept = path.with_name(f".{path.name}.index.json")
    size = path.stat().st_size
    try:
        stored = json.loads(kept.read_text())
        if (stored["version"], stored["bytes"]) == (VERSION, size):
            return [_sample(entry) for entry in stored["samples"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    samples = [_looked_into(path, key, members) for key, members in _members(path).items()]
    record = {"version": VERSION, "bytes": size, "samples": [asdict(s) for s in samples]}
    try:
        write_text(kept, json.dumps(record))
    except OSError as error:
        log.warning("cannot keep the index of %s: %s", path, error)
    return samples


def _sample(entry: dict[str, Any]) -> Sample:
    facts = VideoFacts(**entry["facts"]) if entry["facts"] else None
    members = {ending: (place[0], place[1]) for ending, place in entry["members"].items()}
    return Sample(entry["name"], members, facts, entry["unreadable"])


def _members(path: Path) -> dict[str, dict[str, Place]]:
    """Places by key and ending; WebDataset cuts a name at the first point of its last part."""
    found: dict[str, dict[str, Place]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, _, base = member.name.rpartition("/")
                stem, point, ending = base.partition(".")
                if member.isfile() and point:
                    key = f"{folder}/{stem}" if folder else stem
                    found.setdefault(key, {})[ending.lower()] = (member.offset_data, member.size)
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path} is not a whole tar file: {error}") from None
    return found


def _looked_into(path: Path, key: str, members: dict[str, Place]) -> Sample:
    video = video_ending(members)
    name = _own_name(path, members) or (f"{key}.{video}" if video else key)
    if video is None:
        return Sample(name, members)
    try:
        return Sample(name, members, facts=probe(url(path, members[video])))
    except Unreadable as error:
        return Sample(name, members, unreadable=str(error))


def _own_name(path: Path, members: Mapping[str, Place]) -> str | None:
    """What mobilevd pack-shards wrote down; others' json says nothing to us."""
    if "json" not in members:
        return None
    try:
        about = json.loads(read_member(path, members["json"]))
    except ValueError:
        return None
    name = about.get("name") if isinstance(about, dict) else None
    return name if isinstance(name, str) else None


def video_ending(members: Mapping[str, Place]) -> str | None:
    return next((e for e in members if f".{e.rpartition('.')[2]}" in ENDINGS), None)


def url(path: Path, place: Place) -> str:
    """A part of a file as FFmpeg opens it: nothing is unpacked."""
    return f"subfile,,start,{place[0]},end,{place[0] + place[1]},,:{path}"


def read_member(path: Path, place: Place) -> bytes:
    with path.open("rb") as file:
        file.seek(place[0])
        return file.read(place[1])


def find_shards(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}")
    shards = sorted(p for p in folder.glob("*.tar") if not p.name.startswith("."))
    if not shards:
        raise ValueError(f"no shards (*.tar) in {folder}: make them with mobilevd pack-shards")
    return shards


class VideoShards(VideoClips):
    """The videos of a folder of shards as a source; splits as in ``VideoFolder``."""

    def __init__(
        self, folder: Path, fps: float = 7.0, split: str = "train", flip: bool = True
    ) -> None:
        check_split(split)
        videos, unreadable, self.shard_of = [], {}, []
        for number, path in enumerate(find_shards(folder)):
            for sample in index_shard(path):
                if split_of(sample.name) != split:
                    continue
                ending = video_ending(sample.members)
                if sample.facts and ending:
                    place = sample.members[ending]
                    videos.append(Video(sample.name, url(path, place), sample.facts))
                    self.shard_of.append(number)
                elif sample.unreadable:
                    unreadable[sample.name] = sample.unreadable
        super().__init__(f"{folder} ({split})", videos, unreadable, fps, flip)


class ShardClips:
    """Clips of ``VideoShards`` shard by shard (``ShardOrder``): each video once an epoch."""

    def __init__(self, source: VideoShards, frames: int, size: Size, seed: int = 0) -> None:
        self.source, self.frames, self.size, self.seed = source, frames, size, seed
        usable = {id(v) for v in source.usable(frames)}
        groups: dict[int, list[Video]] = {}
        for video, shard in zip(source.videos, source.shard_of, strict=True):
            if id(video) in usable:
                groups.setdefault(shard, []).append(video)
        self.groups = list(groups.values())
        self.order = ShardOrder(tuple(len(g) for g in self.groups), seed)

    def batch(self, indices: Sequence[int]) -> Batch:
        return stacked([self._clip(i) for i in indices])

    def _clip(self, index: int) -> Clip:
        shard, sample = self.order.locate(index)
        video, rng = self.groups[shard][sample], clip_rng(self.seed, index)
        try:
            return self.source.cut(video, rng, self.frames, self.size)
        except Unreadable as error:
            self.source.fail(video, error)
            return self.source.draw(rng, self.frames, self.size)


def hold_latents(folder: Path) -> bool:
    """Whether the shards of a folder, by the first one, hold packed latents."""
    samples = index_shard(find_shards(folder)[0])
    return bool(samples) and set(LatentShards.MEMBERS) <= set(samples[0].members)


class LatentShards:
    """Packed ``CachedLatents`` as training data, shard by shard (``ShardOrder``)."""

    MEMBERS = ("latents.npy", "first.png", "json")

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.paths = folder, find_shards(folder)
        self.samples = [index_shard(p) for p in self.paths]
        for path, samples in zip(self.paths, self.samples, strict=True):
            if not samples or not all(set(self.MEMBERS) <= set(s.members) for s in samples):
                raise ValueError(f"{path} does not hold latents ({', '.join(self.MEMBERS)})")
        self.order = ShardOrder(tuple(len(s) for s in self.samples), seed)

    def __len__(self) -> int:
        return sum(self.order.counts)

    def __repr__(self) -> str:
        return f"LatentShards({self.folder}, {len(self)} clips)"

    def ordered(self, frames: int, size: Size, seed: int) -> LatentShards:
        """The same in another order; ValueError if they are not clips of that length and size."""
        batch = self.batch([0])
        assert batch.latents is not None
        there = batch.latents.shape[1], tuple(batch.first.shape[-2:])
        if there != (frames, tuple(size)):
            raise ValueError(
                f"{self.folder} holds {there[0]} frames of {there[1][1]}x{there[1][0]}, and the "
                f"preset wants {frames} of {size[1]}x{size[0]}"
            )
        other = copy(self)
        other.order = ShardOrder(self.order.counts, seed)
        return other

    def draw(self, rng: np.random.Generator, frames: int, size: Size) -> NoReturn:
        """For whom a clip's pixels are needed: ValueError."""
        raise ValueError(f"{self.folder} holds latents, and this takes videos")

    def batch(self, indices: Sequence[int]) -> Batch:
        latents, first, conditions = [], [], []
        for index in indices:
            shard, sample = self.order.locate(index)
            places = self.samples[shard][sample].members
            data = {m: io.BytesIO(read_member(self.paths[shard], places[m])) for m in self.MEMBERS}
            latents.append(np.load(data["latents.npy"], allow_pickle=False))
            first.append(np.asarray(Image.open(data["first.png"])))
            about = json.load(data["json"])
            conditions.append((about["fps"], about["motion_bucket"]))
        fps, bucket = torch.tensor(conditions, dtype=torch.float32).T
        pictures = torch.from_numpy(np.stack(first)).permute(0, 3, 1, 2)
        return Batch(
            first=pictures.float() / 127.5 - 1.0,
            fps=fps,
            motion_bucket=bucket,
            latents=torch.from_numpy(np.stack(latents)).float(),
        )
