"""``log.csv``: the mean of every logged figure since the row before, cut back on a resume."""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ..whole_files import whole_file


class RunLog:
    def __init__(self, path: Path, step: int) -> None:
        """Rows after ``step`` are dropped: they will be written again."""
        self.path = path
        self.columns: list[str] = []
        rows: list[dict[str, str]] = []
        if path.is_file():
            self.columns, rows = _read(path)
            rows = [r for r in rows if int(r["step"]) <= step]
            self._rewrite(rows)
        self.started = time.monotonic() - (float(rows[-1]["seconds"]) if rows else 0.0)
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.counts: defaultdict[str, int] = defaultdict(int)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with whole_file(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)

    def add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.sums[name] += value
            self.counts[name] += 1

    def write(self, step: int, scale: float) -> None:
        """A row; what no row had before becomes a column."""
        row = {"step": str(step), "seconds": f"{time.monotonic() - self.started:.1f}"}
        row["rate_scale"] = f"{scale:.4g}"
        row |= {k: f"{v / self.counts[k]:.6f}" for k, v in self.sums.items()}
        new = [k for k in row if k not in self.columns]
        if new:
            self.columns += new
            self._rewrite(_read(self.path)[1] if self.path.is_file() else [])
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        self.sums.clear()
        self.counts.clear()


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows."""
    with path.open() as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or []), list(reader)
