"""Tables, JSON files and progress bars of the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..whole_files import write_text


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """To standard output; numbers to the right."""
    out = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        out.add_column(column, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in rows:
        out.add_row(*(str(value) for value in row))
    console = Console()
    Console(width=None if console.is_terminal else 140).print(out)


def write_json(path: Path | None, value: Any) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(value, indent=1) + "\n")


@contextmanager
def progress_bar(title: str, lines: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """Yields ``report(done, total, what)``; a bar on stderr. When that is no terminal, nothing, or
    with ``lines`` a line for each new ``what``: of a run of hours, a log."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        said = ""

        def report(done: int, total: int, what: str) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total, description=f"{title}: {what}")
            if lines and bar.disable and what != said:
                now = f"{datetime.now():%H:%M:%S}"
                print(f"{now} {title} {done}/{total}: {what}", file=sys.stderr, flush=True)
            said = what

        yield report
