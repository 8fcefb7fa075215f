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


def pull_profile(installed: Installed, run: str, folder: Path) -> list[dict[str, Any]]:
    """Fetches the profiles that the runner left in ``run`` into ``folder``; their summary."""
    device = installed.device
    stem, _, ending = TRACE.partition(".")
    names = device.shell(["find", run, "-name", f"{stem}.*.{ending}"]).text.splitlines()
    if not names:
        raise CommandFailedError(
            f"{device.serial}: the runner wrote no profile: build it with ExecuTorch's event tracer "
            "(EXECUTORCH_ENABLE_EVENT_TRACER=ON)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for remote in sorted(names):
        local = folder / remote.rpartition("/")[2]
        device.pull_file(remote, local)
        rows += summary(read_events(local), stage=local.name.split(".")[1])
    return rows


@dataclass(frozen=True)
class Event:
    """One op of one run, milliseconds; ``inside`` a delegate or not."""

    name: str
    inside: bool
    ms: float


def read_events(path: Path) -> list[Event]:
    """ValueError if it is no ETDump."""
    from executorch.devtools import Inspector

    try:
        blocks = Inspector(etdump_path=str(path)).event_blocks
    except Exception as error:  # flatbuffers raises what it likes
        raise ValueError(f"{path} is no profile of ExecuTorch ({error})") from None
    return [
        Event(event.name, bool(event.is_delegated_op), sum(event.perf_data.raw))
        for block in blocks
        for event in block.events
        if event.perf_data is not None
    ]
