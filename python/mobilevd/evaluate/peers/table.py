"""Rows as cells of a table, and as Markdown for results/."""

from __future__ import annotations

from collections.abc import Sequence

from .bars import line
from .rows import Row, drifted, is_wrong

COLUMNS = (
    "name",
    "median ms",
    "min ms",
    "x ours",
    "ours before, after",
    "GFLOP/s",
    "of FMA peak",
    "load ms",
    "convert s",
    "peak RSS MB",
    "file MB",
    "packed MB",
    "relative L2",
)
_PROFILED = 12  # ops shown; all are in the JSON


def cells(row: Row) -> list[str]:
    """One for each of COLUMNS; "-" where there is no figure."""
    if "error" in row:
        return [row["name"], *["-"] * (len(COLUMNS) - 1)]

    def figure(name: str, form: str) -> str:
        return "-" if row.get(name) is None else format(row[name], form)

    before, after = (figure(f"ours_{when}_ms", ".1f") for when in ("before", "after"))
    return [
        row["name"],
        figure("median_ms", ".1f"),
        figure("min_ms", ".1f"),
        figure("ratio", ".2f"),
        "-" if before == "-" else f"{before}, {after}",
        figure("gflop_per_s", ".1f"),
        figure("share_of_fma_peak", ".0%"),
        figure("load_ms", ".0f"),
        figure("convert_s", ".0f"),
        figure("peak_rss_mb", ".0f"),
        figure("file_mb", ".1f"),
        figure("packed_mb", ".1f"),
        figure("relative_l2", ".1e"),
    ]


def remarks(rows: Sequence[Row]) -> list[str]:
    """A line for each peer that failed, computes something else or met a changing machine, and for
    each bar."""
    failed = [f"{row['name']}: {row['error']}" for row in rows if "error" in row]
    failed += [
        f"{row['name']}: not the same function, not counted" for row in rows if is_wrong(row)
    ]
    failed += [
        f"{row['name']}: ours took {row['ours_before_ms']:.1f} ms before it and "
        f"{row['ours_after_ms']:.1f} after: measure again (delete rows/{row['name']}-* in the work "
        "folder)"
        for row in rows
        if drifted(row)
    ]
    return failed + [line(bar) for row in rows for bar in row.get("bars", ())]


PROFILE_COLUMNS = ("op", "by", "calls", "ms", "share")


def profile_cells(rows: Sequence[Row]) -> list[list[str]]:
    """The longest ops of ours."""
    profile: list[Row] = next((row["profile"] for row in rows if row.get("profile")), [])
    return [
        [
            op["name"],
            "XNNPACK" if op["delegated"] else "CPU",
            str(op["calls"]),
            f"{op['total_ms']:.1f}",
            f"{op['share']:.1%}",
        ]
        for op in profile[:_PROFILED]
    ]


def title(rows: Sequence[Row]) -> str:
    """What all rows have in common."""
    first = rows[-1]
    where = first["gpu"] if first.get("gpu") else f"threads {first['threads']}"
    return f"{first['preset']}, one evaluation, fp32, {first['weights']}, {where}"


def markdown(rows: Sequence[Row]) -> str:
    """A heading, the table, the remarks and the profile."""
    first = rows[-1]
    versions = {name: v for row in rows for name, v in row.get("versions", {}).items()}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"## {title(rows)}", "", f"{first['machine']}, {first['date']}; {listed}.", ""]
    lines += _table(COLUMNS, [cells(row) for row in rows])
    lines += ["", *[f"- {remark}" for remark in remarks(rows)]]
    profiled = profile_cells(rows)
    if profiled:
        lines += ["", "Where our time goes (ETDump, one evaluation):", ""]
        lines += _table(PROFILE_COLUMNS, profiled)
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    head = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return head + ["| " + " | ".join(row) + " |" for row in rows]
