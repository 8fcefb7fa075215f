"""The report's plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...page import Plot, plot
from ...page.svg import SERIES, stacked_bars
from .runs import Run


def plots(runs: Sequence[Run]) -> list[Plot]:
    """Stages of phones and of what is none apart: the scales have nothing to do with each other."""
    phones = [run for run in runs if run.where == "phone"]
    others = [run for run in runs if run.where != "phone"]
    titled = (("Stages on phones", phones), ("Stages, not on phones", others))
    times = [_stage_times(title, some) for title, some in titled if some]
    return times + [_repeats(run) for run in runs if _has_repeats(run)]


def _stage_times(title: str, runs: Sequence[Run]) -> Plot:
    names = list(dict.fromkeys(name for run in runs for name in run.result["stages"]))
    times = [run.stage_ms() for run in runs]
    # Stages beyond the colours share the last one.
    series = [
        (name, SERIES[min(i, len(SERIES) - 1)], [of_run.get(name, 0.0) for of_run in times])
        for i, name in enumerate(names)
    ]

    def draw(axes: Any) -> None:
        stacked_bars(axes, [_wrapped(run.name) for run in runs], series)
        axes.set(xlabel="ms of one clip, without loading")

    caption = "Where a clip's time goes: each stage's calls together."
    return plot(title, caption, 1.3 + 0.45 * len(runs), draw)


def _wrapped(name: str, width: int = 18) -> str:
    """Names of CPUs are long, and labels take width from the bars."""
    lines = [""]
    for word in name.split():
        if len(lines[-1]) + len(word) >= width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines[:3])


def _has_repeats(run: Run) -> bool:
    return len(run.result.get("repeats") or ()) > 1


def _repeats(run: Run) -> Plot:
    rows = run.result["repeats"]
    minutes = [row["started_s"] / 60 for row in rows]
    degrees = [(t, row["temperature_before_c"]) for t, row in zip(minutes, rows, strict=True)]
    known = [(t, celsius) for t, celsius in degrees if celsius is not None]

    def draw(axes: Any) -> None:
        axes.plot(minutes, [row["total_ms"] for row in rows], "o-", color=SERIES[0], ms=4)
        axes.set(xlabel="minutes since the start", ylim=(0, None))
        axes.set_ylabel("clip, ms", color=SERIES[0])
        axes.grid(alpha=0.5)
        if known:
            warmth = axes.twinx()
            warmth.plot(*zip(*known, strict=True), "s--", color=SERIES[1], ms=3, linewidth=1)
            warmth.set_ylabel("°C before", color=SERIES[1])
            least, most = min(c for _, c in known), max(c for _, c in known)
            warmth.set_ylim(min(20.0, least - 2), max(60.0, most + 2))
            warmth.spines["right"].set_visible(True)

    waited = sum(row["waited_s"] for row in rows)
    caption = f"{len(rows)} repeats, each a process of its own; {waited:.0f} s waited to cool down."
    return plot(f"Repeats on {run.name}", caption, 2.3, draw)
