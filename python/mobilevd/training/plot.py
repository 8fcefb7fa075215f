"""The loss curve of a run as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..whole_files import whole_file


def plot_losses(log: Path, picture: Path) -> None:
    """``log.csv`` (step, loss, ...) -> PNG: raw and running mean over 5 % of the run."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    rows = [(int(r["step"]), float(r["loss"])) for r in csv.DictReader(log.open())]
    if len(rows) < 2:
        return
    steps, losses = np.array(rows).T
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(steps, losses, color="#9bbcd8", linewidth=0.8, label="logged")
    width = max(1, len(losses) // 20)
    if width > 1:
        kernel = np.ones(width) / width
        smooth = np.convolve(losses, kernel, mode="valid")
        axes.plot(
            steps[width // 2 :][: len(smooth)],
            smooth,
            color="#1f4e79",
            linewidth=1.8,
            label="running mean",
        )
    axes.set(xlabel="step", ylabel="loss", ylim=(0, np.quantile(losses, 0.98) * 1.1))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with whole_file(picture) as temporary:
        figure.savefig(temporary, dpi=120)
