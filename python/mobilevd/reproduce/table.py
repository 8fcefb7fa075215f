"""The benchmark's table: in the terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TEACHER = "svd-hd"  # of every ratio
COLUMNS = (
    "system", "NFE", "distance", "95 %", "ratio", "motion", "first frame dB", "GFLOP/clip", "fewer",
    "params M", "ms/clip",
)  # fmt: skip


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A line per row: figures rounded for reading; ratios against the teacher."""
    teacher = next((r for r in rows if r["name"] == TEACHER), None)
    lines = []
    for row in rows:
        low, high = row["distance_ci95"]
        ratio = f"{row['distance'] / teacher['distance']:.2f}" if teacher else ""
        fewer = f"{teacher['tflops_per_clip'] / row['tflops_per_clip']:.0f}x" if teacher else ""
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
                f"{row['latency_ms']:.0f}",
            ]
        )
    return lines


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *cells(rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
