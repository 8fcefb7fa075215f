"""ExecuTorch's profile of a clip (ETDump), summed up per op: where a stage's time goes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CommandFailedError
from .runner import Installed

TRACE = "trace.etdp"  # the runner makes trace.STAGE.etdp of it

# Events that hold others: the run of a stage, the calls in it.
_RUN, _DELEGATE, _OPERATOR = "Method::execute", "DELEGATE_CALL", "OPERATOR_CALL"


@dataclass(frozen=True)
class Event:
    """One place in a program and the times of its runs; ``delegated``: inside a delegate."""

    name: str
    delegated: bool
    runs_ms: tuple[float, ...]


def pull_profile(installed: Installed, run: str, folder: Path) -> list[dict[str, Any]]:
    """Fetches the profiles that the runner left in ``run`` into ``folder``; their summary."""
    device = installed.device
    stem, _, ending = TRACE.partition(".")
    names = device.shell(["find", run, "-name", f"{stem}.*.{ending}"]).text.splitlines()
    if not names:
        raise CommandFailedError(
            f"{device.serial}: the runner wrote no profile: build it with ExecuTorch's event "
            "tracer (EXECUTORCH_ENABLE_EVENT_TRACER=ON)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for remote in sorted(names):
        local = folder / remote.rpartition("/")[2]
        device.pull_file(remote, local)
        rows += summary(read_events(local), stage=local.name.split(".")[1])
    return rows


def read_events(path: Path) -> list[Event]:
    """Of all runs of a stage; ValueError if ``path`` is no ETDump."""
    from executorch.devtools import Inspector

    try:
        blocks = Inspector(etdump_path=str(path)).event_blocks
    except Exception as error:  # flatbuffers raises what it likes
        raise ValueError(f"{path} is no profile of ExecuTorch ({error})") from None
    return [
        Event(event.name, bool(event.is_delegated_op), tuple(event.perf_data.raw))
        for block in blocks
        if block.name == "Execute"  # not the loading
        for event in block.events
        if event.perf_data is not None
    ]


def summary(events: Iterable[Event], stage: str) -> list[dict[str, Any]]:
    """A row per kind of op, longest first: ``stage, name, delegated, calls, total_ms, share``.

    ``share`` is of the stage's time. What delegates do not tell apart, and what lies between the
    ops, are rows of their own, so that the shares sum to 1.
    """
    rows: dict[tuple[str, bool], list[float]] = {}
    whole = delegates = 0.0
    for event in events:
        total = sum(event.runs_ms)
        if event.name == _RUN:
            whole += total
        elif event.name == _DELEGATE:
            delegates += total
        elif event.name != _OPERATOR:
            kind = re.sub(r" #\d+$", "", event.name.removeprefix("native_call_"))
            row = rows.setdefault((kind, event.delegated), [0, 0.0])
            row[0] += len(event.runs_ms)
            row[1] += total
    told = sum(total for (_, delegated), (_, total) in rows.items() if delegated)
    own = sum(total for (_, delegated), (_, total) in rows.items() if not delegated)
    rows["not told apart", True] = [0, max(0.0, delegates - told)]
    rows["between ops", False] = [0, max(0.0, whole - max(delegates, told) - own)]
    ordered = sorted(rows.items(), key=lambda item: -item[1][1])
    return [
        {
            "stage": stage,
            "name": name,
            "delegated": delegated,
            "calls": int(calls),
            "total_ms": round(total, 3),
            "share": round(total / whole, 4) if whole else 0.0,
        }
        for (name, delegated), (calls, total) in ordered
        if total > 0
    ]
