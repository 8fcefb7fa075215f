"""The report's tables, once for Markdown and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .runs import Run

OPS_LISTED = 8


@dataclass(frozen=True)
class Table:
    """Cells are text, the first ``words`` columns words and the others figures; ``bad`` are the
    numbers of the rows to be seen first."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    words: int = 1
    bad: frozenset[int] = frozenset()


def tables(runs: Sequence[Run]) -> list[Table]:
    """Those for which there are figures."""
    made = [_runs(runs), _stages(runs), _verdicts(runs), _kernels(runs), *map(_profile, runs)]
    return [table for table in made if table.rows]


def _runs(runs: Sequence[Run]) -> Table:
    columns = ["run", "where", "SoC", "Android", "bundle", "steps", "clip ms", "load ms", "peak MB"]
    columns += ["repeats", "threads", "cores", "ISA", "°C before", "°C after"]
    rows = []
    for run in runs:
        r, device = run.result, run.device
        repeats = r.get("repeats") or [{}]
        rows.append(
            [
                run.name,
                run.where,
                _text(device.get("soc")),
                _text(device.get("android")),
                run.bundle,
                _text(r.get("steps")),
                _ms(r["total_ms"]),
                _ms(r["load_ms"]),
                f"{r['peak_rss_mb']:.0f}",
                _text(r.get("repeat")),
                _text(r.get("threads")),
                ",".join(map(str, r.get("cores", ()))) or "–",
                _text(r.get("isa")),
                _degrees(repeats[0].get("temperature_before_c")),
                _degrees(r.get("temperature_c")),
            ]
        )
    note = "Clip and load: medians of the repeats. Peak: the largest resident set of a process."
    return Table("Runs", columns, rows, note, words=5)


def _stages(runs: Sequence[Run]) -> Table:
    names = list(dict.fromkeys(name for run in runs for name in run.result["stages"]))
    rows = []
    for name in names:
        stages = [run.result["stages"].get(name) for run in runs]
        cells = [f"{_ms(s['median_ms'])} ({_ms(s['p90_ms'])})" if s else "–" for s in stages]
        rows.append([name, *cells])
    note = (
        "Milliseconds of one call, median (90th percentile); a clip may call a stage several times."
    )
    return Table("Stages", ["stage", *(run.name for run in runs)], rows, note)


def _verdicts(runs: Sequence[Run]) -> Table:
    rows: list[list[str]] = []
    bad: set[int] = set()
    for run in runs:
        for v in run.result.get("verdicts", ()):
            if not v["ok"]:
                bad.add(len(rows))
            held = "held" if v["ok"] else "OVER"
            value, limit = f"{v['value']:g}", f"{v['limit']:g}"
            rows.append([run.name, v["name"], v["kind"], held, v["note"], value, limit])
    columns = ["run", "figure", "against", "", "how", "is", "limit"]
    return Table("Bars and baselines", columns, rows, words=5, bad=frozenset(bad))


def _kernels(runs: Sequence[Run]) -> Table:
    rows = [
        [run.name, name, op["name"], op["isa"], str(op["calls"]), f"{op['total_ms']:.1f}"]
        for run in runs
        for name, stage in run.result["stages"].items()
        for op in stage.get("ops", ())
    ]
    columns = ["run", "stage", "op", "ISA", "calls", "ms in all"]
    note = "Counted by the runner over all measured clips."
    return Table("Our kernels", columns, rows, note, words=4)


def _profile(run: Run) -> Table:
    profile: Sequence[dict[str, Any]] = run.result.get("profile", ())
    rows, seen = [], dict.fromkeys((row["stage"] for row in profile), 0)
    for row in profile:
        seen[row["stage"]] += 1
        if seen[row["stage"]] <= OPS_LISTED:
            place = "delegate" if row["delegated"] else "CPU"
            share = f"{100 * row['share']:.1f} %"
            time = f"{row['total_ms']:.2f}"
            rows.append([row["stage"], row["name"], place, _text(row["calls"]), time, share])
    columns = ["stage", "op", "runs in", "calls", "ms", "of the stage"]
    note = f"ExecuTorch's profile of one further clip; the {OPS_LISTED} longest of each stage."
    return Table(f"Profile of {run.name}", columns, rows, note, words=3)


def _text(value: Any) -> str:
    return "–" if value is None or value == "" else str(value)


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def _degrees(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
