"""The benchmark's table: in the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..whole_files import write_text
from .rows import ABLATION_ROWS, STAGE_ROWS, SYSTEMS

TEACHER = "svd-hd"  # of every ratio
COLUMNS = (
    "system", "NFE", "distance", "95 %", "ratio", "motion", "first frame dB", "GFLOP/clip", "fewer",
    "params M", "ms/clip",
)  # fmt: skip


def cells(rows: Sequence[Mapping[str, Any]], teacher: Mapping[str, Any] | None) -> list[list[str]]:
    """A line per row: figures rounded for reading; ratios against the teacher."""
    lines = []
    for row in rows:
        low, high = row["distance_ci95"]
        ratio = fewer = ""
        if teacher:
            ratio = f"{row['distance'] / teacher['distance']:.2f}"
            fewer = f"{teacher['tflops_per_clip'] / row['tflops_per_clip']:.0f}x"
        lines.append(
            [
                row["name"],
                str(row["nfe"]),
                f"{row['distance']:.2f}",
                f"{low:.2f}-{high:.2f}",
                ratio,
                f"{row['motion']:.3f}",
                f"{row['first_frame_psnr_db']:.1f}",
                f"{row['tflops_per_clip'] * 1e3:.2f}",
                fewer,
                f"{row['params'] / 1e6:.2f}",
                f"{row['latency_ms']:.0f}" if row["latency_ms"] else "",
            ]
        )
    return lines


def markdown(rows: Sequence[Mapping[str, Any]], teacher: Mapping[str, Any] | None) -> str:
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *cells(rows, teacher)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write_tables(results: Path) -> None:
    """``table.json`` (the systems), ``stages.json``, ``ablations.json`` and ``table.md`` from the
    rows that were measured."""
    measured = {
        path.stem: json.loads(path.read_text()) for path in (results / "rows").glob("*.json")
    }
    teacher, text = measured.get(TEACHER), []
    for title, name, rows in (
        ("Systems", "table", SYSTEMS),
        ("Stages", "stages", STAGE_ROWS),
        ("Ablations", "ablations", ABLATION_ROWS),
    ):
        found = [measured[r.name] for r in rows if r.name in measured]
        if found:
            write_text(results / f"{name}.json", json.dumps(found, indent=1) + "\n")
            text += [f"## {title}\n", markdown(found, teacher)]
    if text:
        write_text(results / "table.md", "\n".join(text))
