"""``mobilevd bench --preset P --peers``: one UNet evaluation by us and by everybody else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .arguments import check_device, preset_of
from .output import progress_bar, table

if TYPE_CHECKING:
    from ..evaluate.peers.peer import Peer
    from ..presets import Preset


def bench_peers(
    preset: str | None,
    weights: str,
    threads: int | None,
    repeat: int,
    work: Path,
    only: Sequence[str],
    device: str,
    bundle: Path | None,
    delete_converted: bool,
) -> list[dict[str, Any]]:
    """Prints the table, the bars and our profile; returns the rows."""
    if preset is None:
        raise UsageError("--peers needs --preset: whose UNet to evaluate")
    chosen, weights = _model(preset, weights)
    peers = _peers(only, device)
    if device == "cuda" and bundle is not None:
        raise UsageError("--bundle is for the CPU, --device cuda for torch's rows only")
    check_device(device)
    from ..evaluate.peers.compare import Plan, compare
    from ..evaluate.peers.table import (
        COLUMNS,
        PROFILE_COLUMNS,
        cells,
        profile_cells,
        remarks,
        title,
    )

    if bundle is not None:
        _check_bundle(bundle, chosen)
    plan = Plan(
        chosen, weights, threads or _cores(), work, repeat, device, bundle, delete_converted
    )
    with progress_bar("bench", lines=True) as report:
        rows = compare(plan, peers, report)
    table(title(rows), COLUMNS, [cells(row) for row in rows])
    profiled = profile_cells(rows)
    if profiled:
        table("where our time goes (ETDump, one evaluation)", PROFILE_COLUMNS, profiled)
    for remark in remarks(rows):
        print(remark)
    return rows


def _model(preset: str, weights: str) -> tuple[Preset, str]:
    """The preset as the weights have it: a model folder may have taken further steps of it."""
    from ..models.parts import random_seed
    from ..models.store import model_folder, read_preset

    chosen = preset_of(preset)
    try:
        random = random_seed(weights) is not None
    except ValueError as error:
        raise UsageError(f"--weights: {error}") from None
    if random:
        return chosen, weights
    try:
        folder = model_folder(weights)
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(f"--weights takes random:SEED or a model folder: {error}") from None
    found = read_preset(folder)
    if found.name != preset:
        raise UsageError(f"--weights {weights} is a model of {found.name}, not of {preset}")
    return found, str(folder.absolute())


def _peers(only: Sequence[str], device: str) -> list[Peer]:
    from ..evaluate.peers.peer import PEERS

    known = [name for name, peer in PEERS.items() if peer.cuda or device == "cpu"]
    for name in only:
        if name not in known:
            raise UsageError(f"no peer {name} on {device}; there are: {', '.join(known)}")
    return [PEERS[name] for name in known if not only or name in only]


def _check_bundle(bundle: Path, preset: Preset) -> None:
    from ..export.bundle import describe
    from ..export.flavour import Flavour
    from ..export.manifest import read_bundle

    manifest, wanted = read_bundle(bundle), describe(preset, Flavour())
    for key in ("preset", "backend", "precision", "shapes"):
        if manifest[key] != wanted[key]:
            raise UsageError(f"--bundle {bundle} has {key} {manifest[key]}, not {wanted[key]}")


def _cores() -> int:
    """Those that this process may use."""
    count = getattr(os, "sched_getaffinity", None)
    return len(count(0)) if count else os.cpu_count() or 1
