"""The report's three files, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import __version__
from ...page import render
from ...whole_files import check_folder, whole_folder
from .plots import plots
from .runs import Run, read_runs
from .sheets import sheets
from .tables import Table, tables

FILES = ("report.json", "report.md", "report.html")
_TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(results: Sequence[Path], folder: Path) -> list[Run]:
    """Puts the results of ``device run``, ``device bench`` or ``mobilevd_runner --json`` side by
    side. An older report in ``folder`` is replaced; ValueError if it holds anything else."""
    check_folder(folder, _is_report)
    runs = read_runs(results)
    figures = tables(runs)
    title = f"{runs[0].name}" if len(runs) == 1 else f"{len(runs)} runs"
    page = render(
        _TEMPLATE,
        title=f"MobileVD on {title}",
        version=__version__,
        runs=runs,
        tables=figures,
        plots=plots(runs),
        sheets=sheets(runs),
    )
    with whole_folder(folder, _is_report) as new:
        rows = [_row(run) for run in runs]
        (new / "report.json").write_text(json.dumps(rows, indent=1) + "\n")
        (new / "report.md").write_text(_markdown(title, figures))
        (new / "report.html").write_text(page)
    return runs


def _is_report(folder: Path) -> bool:
    return all(file.name in FILES for file in folder.iterdir())


def _row(run: Run) -> dict[str, Any]:
    """Figures under plain names, then all that is known."""
    result = run.result
    return {
        "name": run.name,
        "where": run.where,
        "total_ms": result["total_ms"],
        "load_ms": result["load_ms"],
        "peak_rss_mb": result["peak_rss_mb"],
        "stages_median_ms": {n: s["median_ms"] for n, s in result["stages"].items()},
        "result": result,
    }


def _markdown(title: str, figures: Sequence[Table]) -> str:
    parts = [f"# MobileVD on {title}"]
    for table in figures:
        rule = [*["---"] * table.words, *["---:"] * (len(table.columns) - table.words)]
        lines = [table.columns, rule, *table.rows]
        text = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
        parts += [f"## {table.title}", text]
        if table.note:
            parts.append(table.note)
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
