"""What the commands on devices share: which devices, what is seen of each, the end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import ExitCode, UsageError
from .output import table, write_json

if TYPE_CHECKING:
    from ..device import Device
    from ..device.bars import Verdict
    from ..device.many import Outcome
    from ..device.results import Result

PackageFolder = Annotated[
    Path, typer.Option("--package", help="What make android-bundle wrote: runner and libraries.")
]
DeviceBundle = Annotated[
    Path | None, typer.Option(help="Default: the package's own, else the shipped mini.")
]
AllDevices = Annotated[bool, typer.Option("--all", help="Every device that is attached.")]
Timeout = Annotated[float, typer.Option(help="Seconds that one start of the runner may take.")]
Junit = Annotated[
    Path | None, typer.Option("--junit", help="Also write JUnit XML for a CI server.")
]
Say = Callable[[str], None]
Value = TypeVar("Value")


def meant(serials: Sequence[str] | None, every: bool) -> list[Device]:
    """The devices of ``--serial`` or ``--all``."""
    from ..device import Device, choose, devices

    if not every:
        return choose(serials or ())
    if serials:
        raise UsageError("--all and --serial exclude each other")
    # Those that are not ready, too: each fails with its own line.
    return [Device(row["serial"]) for row in devices()] or choose()


def of_device(path: Path, serial: str, several: bool) -> Path:
    """With several devices each has files of its own: clip.mp4 -> clip-SERIAL.mp4."""
    if not several:
        return path
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", serial)
    return path.with_name(f"{path.stem}-{plain}{path.suffix}")


def write_result(json: Path | None, result: Result, picture: Path, clip: Path | None) -> Result:
    """The result with its ``picture`` and ``clip``, relative to its file, so that a report finds
    them wherever the folder is moved to."""
    if json is None:
        return result
    named = {"picture": picture} | ({"clip": clip} if clip else {})
    home = json.absolute().parent
    paths = {key: os.path.relpath(path.absolute(), home) for key, path in named.items()}
    write_json(json, {**result, **paths})
    return {**result, **paths}


class Board:
    """A bar per device on a terminal; elsewhere a line per message, with its serial."""

    def __init__(self, progress: Progress, serials: Sequence[str]) -> None:
        self._progress = progress
        self._tasks = {s: progress.add_task(s, total=None, what="") for s in serials}

    def say(self, serial: str) -> Say:
        def say(text: str) -> None:
            if self._progress.disable:
                self._progress.console.print(f"{serial}: {text}", markup=False)
            else:
                self._progress.update(self._tasks[serial], total=None, completed=0, what=text)

        return say

    def report(self, serial: str, doing: str = "push") -> Callable[[int, int, str], None]:
        """For a push: bytes done, bytes in all, the tree."""

        def report(done: int, total: int, what: str) -> None:
            self._progress.update(
                self._tasks[serial], completed=done, total=total, what=f"{doing} {what}"
            )

        return report


@contextmanager
def board(serials: Sequence[str]) -> Iterator[Board]:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Board(progress, serials)


def finish(
    command: str,
    outcomes: Sequence[Outcome[Value]],
    columns: Sequence[str],
    cells: Callable[[Value], Sequence[Any]],
    verdicts: Callable[[Value], Sequence[Verdict]] = lambda value: (),
    junit: Path | None = None,
) -> NoReturn:
    """The table, the JUnit file, the lines of what failed on stderr, and the exit code."""
    from ..device.junit import write_junit
    from ..device.many import exit_code

    rows = [[o.serial, *(cells(o.value) if o.value is not None else ["failed"])] for o in outcomes]
    width = 1 + len(columns)
    table(
        f"device {command}",
        ["device", *columns],
        [[*row, *[""] * (width - len(row))] for row in rows],
    )
    judged = [list(verdicts(o.value)) if o.value is not None else [] for o in outcomes]
    console = complain(outcomes)
    ended = []
    for outcome, figures in zip(outcomes, judged, strict=True):
        over = [verdict for verdict in figures if not verdict.ok]
        for verdict in over:
            console.print(f"mobilevd: {outcome.serial}: {verdict.line}", markup=False)
        ended.append(replace(outcome, code=ExitCode.FAILED_BAR) if over else outcome)
    if junit is not None:
        write_junit(junit, command, outcomes, judged)
    raise typer.Exit(exit_code(ended))


def complain(outcomes: Sequence[Outcome[Any]]) -> Console:
    """A line on stderr for each device in trouble."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for outcome in outcomes:
        if outcome.error is not None:
            console.print(f"mobilevd: {_named(outcome.serial, outcome.error)}", markup=False)
    return console


def _named(serial: str, error: str) -> str:
    line = " ".join(error.split())
    return line if serial in line else f"{serial}: {line}"
