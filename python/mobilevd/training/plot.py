"""The curves of a run as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..whole_files import whole_file


def plot_losses(log: Path, picture: Path) -> None:
    """``log.csv`` -> PNG: a panel for each figure, raw and its running mean over 5 % of the run."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    with log.open() as file:
        rows = list(csv.DictReader(file))
    if len(rows) < 2:
        return
    names = [n for n in rows[0] if n not in ("step", "seconds", "rate_scale")]
    steps = np.array([int(r["step"]) for r in rows])
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(4.5 * across + 1, 2.8 * down), layout="constrained")
    for i, name in enumerate(names):
        values = np.array([float(r[name] or "nan") for r in rows])
        there = np.isfinite(values)  # a player may rest
        values, at = values[there], steps[there]
        axes = figure.add_subplot(down, across, i + 1)
        axes.plot(at, values, color="#9bbcd8", linewidth=0.8)
        width = max(1, len(values) // 20)
        if width > 1:
            smooth = np.convolve(values, np.ones(width) / width, mode="valid")
            middle = at[width // 2 :][: len(smooth)]
            axes.plot(middle, smooth, color="#1f4e79", linewidth=1.8)
        low, high = np.quantile(values, [0.01, 0.99])
        margin = 0.1 * (high - low) + 1e-9
        axes.set(title=name.replace("_", " "), xlabel="step", ylim=(low - margin, high + margin))
        axes.grid(alpha=0.3)
    with whole_file(picture) as temporary:
        figure.savefig(temporary, dpi=100)
