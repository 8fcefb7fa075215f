"""Clips through the VAE once, kept on disk: most of a step's cost otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...models.vae import Vae
from ...whole_files import claimed_folder, whole_file, whole_folder, write_text
from ..precision import autocast_where_native
from ..processes import processes
from . import Batch, ClipData

NAMES = ("latents", "first", "conditions")
PIECE = 128  # clips that are made before they are kept


class CachedLatents:
    """Clip ``index`` is clip ``index`` modulo the number kept.

    A folder with ``latents.npy`` float16 [N, F, 4, h, w], ``first.npy`` uint8 [N, 3, H, W],
    ``conditions.npy`` float32 [N, 2] (fps, motion bucket) and ``about.json``; memory-mapped.
    """

    def __init__(self, folder: Path) -> None:
        self.latents, self.first, self.conditions = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES
        )

    def batch(self, indices: Sequence[int]) -> Batch:
        kept = [i % len(self.latents) for i in indices]
        fps, bucket = torch.from_numpy(self.conditions[kept]).T
        return Batch(
            first=torch.from_numpy(self.first[kept]).float() / 127.5 - 1.0,
            fps=fps,
            motion_bucket=bucket,
            latents=torch.from_numpy(self.latents[kept]).float(),
        )


@torch.no_grad()
def cache_latents(
    folder: Path,
    vae: Vae,
    data: ClipData,
    count: int,
    about: dict[str, str],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> CachedLatents:
    """Makes the folder, unless one of the same ``about`` (what it was made from) is there.

    The processes of a run share the work; each piece is kept when done, so a stopped run goes on.
    """
    record, run = {**about, "clips": str(count)}, processes()
    if _is_of(folder, record):
        return CachedLatents(folder)
    pieces = folder.with_name(f".{folder.name}.pieces")
    # Another run that wants the same waits for this one's.
    with claimed_folder(pieces) if run.is_main_process else nullcontext():
        if run.is_main_process and not _is_of(folder, record) and not _is_of(pieces, record):
            for left in pieces.iterdir():
                left.unlink()
            write_text(pieces / "about.json", json.dumps(record, indent=1))
        run.wait_for_everyone()
        if not _is_of(folder, record):
            _share(pieces, vae, data, count, progress)
            run.wait_for_everyone()
            if run.is_main_process:
                _joined(pieces, folder, count)
        run.wait_for_everyone()
        if run.is_main_process:
            shutil.rmtree(pieces)
    return CachedLatents(folder)


def _share(
    pieces: Path, vae: Vae, data: ClipData, count: int, progress: Callable[[int, int], object]
) -> None:
    """This process's pieces, those that are not there yet."""
    run = processes()
    # A copy: channels_last is 1.7 times faster here, and no business of the VAE's other users.
    encoder = deepcopy(vae.encoder)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for start in range(0, count, PIECE)[run.process_index :: run.num_processes]:
        stop = min(count, start + PIECE)
        path = pieces / f"{start:08}.npz"
        if not path.is_file():
            made = _encoded(encoder, data, range(start, stop))
            with whole_file(path) as temporary:
                np.savez(temporary, **made)  # type: ignore[arg-type]
        progress(stop, count)


def _is_of(folder: Path, record: dict[str, str]) -> bool:
    there = folder / "about.json"
    return there.is_file() and json.loads(there.read_text()) == record


def _encoded(encoder: nn.Module, data: ClipData, indices: range) -> dict[str, np.ndarray]:
    """``CachedLatents``' three arrays for these clips, 8 at a time."""
    device = next(encoder.parameters()).device
    made: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for start in range(indices.start, indices.stop, 8):
        batch = data.batch(range(start, min(indices.stop, start + 8)))
        own = batch.latents  # what a teacher sampled is kept as it is
        if own is None:
            assert batch.clips is not None
            clips = batch.clips.to(device)
            pictures = clips.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            with autocast_where_native(device.type):  # an error of 0.3 %
                flat = encoder(pictures).float()
            own = flat.unflatten(0, clips.shape[:2])
        conditions = torch.stack([batch.fps, batch.motion_bucket], 1)
        made["latents"].append(own.half().cpu().numpy())
        made["first"].append(((batch.first + 1) * 127.5).round().byte().cpu().numpy())
        made["conditions"].append(conditions.cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in made.items()}


def _joined(pieces: Path, folder: Path, count: int) -> None:
    """One file an array, written as it is read: the whole may not fit into memory."""
    paths = [pieces / f"{start:08}.npz" for start in range(0, count, PIECE)]
    with whole_folder(folder, lambda old: (old / "about.json").is_file()) as new:
        for name in NAMES:
            whole, done = None, 0
            for path in paths:
                with np.load(path) as piece:
                    part = piece[name]
                if whole is None:
                    shape = (count, *part.shape[1:])
                    whole = np.lib.format.open_memmap(
                        new / f"{name}.npy", mode="w+", dtype=part.dtype, shape=shape
                    )
                whole[done : done + len(part)] = part
                done += len(part)
        shutil.copy(pieces / "about.json", new)
