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
        self.seconds = 0.0
        if path.is_file():
            reader = csv.DictReader(path.open())
            self.columns = list(reader.fieldnames or [])
            rows = [r for r in reader if int(r["step"]) <= step]
            self.seconds = float(rows[-1]["seconds"]) if rows else 0.0
            with whole_file(path) as temporary, temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, self.columns)
                writer.writeheader()
                writer.writerows(rows)
        self.started = time.monotonic() - self.seconds
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.counts: defaultdict[str, int] = defaultdict(int)

    def add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.sums[name] += value
            self.counts[name] += 1

    def write(self, step: int, scale: float) -> None:
        """A row; the first one decides the columns."""
        row = {"step": str(step), "seconds": f"{time.monotonic() - self.started:.1f}"}
        row["rate_scale"] = f"{scale:.4g}"
        row |= {k: f"{v / self.counts[k]:.6f}" for k, v in self.sums.items()}
        new = not self.columns
        if new:
            self.columns = list(row)
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)
        self.sums.clear()
        self.counts.clear()
