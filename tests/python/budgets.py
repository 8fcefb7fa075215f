"""What each flavour may leave on the CPU: tests/budgets.json against a bundle's report.

``python tests/python/budgets.py BUNDLE...`` writes the rows of these bundles anew. A row is a
preset and a flavour (backend, precision, soc or texture_limit where they matter); a stage's
``cpu_ops`` are op -> module -> count, so that what is new can be named.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilevd.export.manifest import read_bundle
from mobilevd.whole_files import write_text

FILE = Path(__file__).parents[1] / "budgets.json"
FLAVOUR = ("backend", "precision", "soc", "texture_limit")
REWRITE = "python tests/python/budgets.py BUNDLE"

Row = dict[str, Any]
Ops = Counter[tuple[str, str]]  # (op, module)


def rows() -> list[Row]:
    return json.loads(FILE.read_text())


def identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in ("preset", *FLAVOUR))


def name(row: Mapping[str, Any]) -> str:
    return "-".join(str(part) for part in identity(row) if part is not None)


def _budgeted(stage: Mapping[str, Any]) -> Ops:
    modules = stage["cpu_ops"].items()
    return Counter({(op, path): n for op, paths in modules for path, n in paths.items()})


def _left(stage: Mapping[str, Any]) -> Ops:
    counts: Ops = Counter()
    for op in stage["cpu_ops"]:
        counts[op["op"], op["module"]] += op["count"]
    return counts


def _by_op(ops: Ops) -> Counter[str]:
    counts: Counter[str] = Counter()
    for (op, _), n in ops.items():
        counts[op] += n
    return counts


def over(stage_name: str, stage: Mapping[str, Any], budget: Mapping[str, Any]) -> list[str]:
    """A line for each thing that the stage of a bundle has beyond its budget; none if it keeps it.

    An op that only changed its module is within the budget: what counts is how many there are.
    """
    lines = []
    if stage["partitions"] > budget["partitions"]:
        lines.append(
            f"{stage_name}: {stage['partitions']} partitions, the budget is {budget['partitions']}"
        )
    left, allowed = _left(stage), _budgeted(budget)
    more = _by_op(left) - _by_op(allowed)
    reasons = {(op["op"], op["module"]): op["reason"] for op in stage["cpu_ops"]}
    for (op, path), n in sorted((left - allowed).items()):
        if op in more:
            lines.append(
                f"{stage_name}: new on the CPU: {n} x {op} in {path or 'the stage itself'} "
                f"({reasons[op, path]})"
            )
    return lines


def loose(stage_name: str, stage: Mapping[str, Any], budget: Mapping[str, Any]) -> list[str]:
    """A line for each part of the budget that the stage no longer needs."""
    lines = []
    if stage["partitions"] < budget["partitions"]:
        lines.append(
            f"{stage_name}: {stage['partitions']} partitions, the budget allows "
            f"{budget['partitions']}: tighten it ({REWRITE})"
        )
    for op, n in sorted((_by_op(_budgeted(budget)) - _by_op(_left(stage))).items()):
        lines.append(f"{stage_name}: the budget has {n} x {op} too many: tighten it ({REWRITE})")
    return lines


def row_of(manifest: Mapping[str, Any]) -> Row:
    """The budget that a bundle keeps exactly."""
    stages = {}
    for stage_name, stage in manifest["stages"].items():
        ops: dict[str, dict[str, int]] = {}
        for (op, path), n in sorted(_left(stage).items()):
            ops.setdefault(op, {})[path] = n
        stages[stage_name] = {"partitions": stage["partitions"], "cpu_ops": ops}
    keys = ("preset", *FLAVOUR)
    return {**{key: manifest[key] for key in keys if key in manifest}, "stages": stages}


def write(bundles: list[Path]) -> None:
    new = [row_of(read_bundle(bundle)) for bundle in bundles]
    replaced = {identity(row) for row in new}
    kept = [row for row in rows() if identity(row) not in replaced] if FILE.exists() else []
    table = sorted([*kept, *new], key=name)
    write_text(FILE, json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    write([Path(argument) for argument in sys.argv[1:]])
