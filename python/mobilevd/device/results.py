"""Results of several runs put together as one, in the schema that the runner writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Result = dict[str, Any]  # cpp/runtime/stats.h

SCHEMA_VERSION = 1
_NUMBERS = ("total_ms", "load_ms", "peak_rss_mb")
_STAGE_NUMBERS = ("load_ms", "calls", "min_ms", "median_ms", "p90_ms", "total_ms")


@dataclass(frozen=True)
class Repeat:
    """One process of the runner: its result, and the device around it. Degrees Celsius, seconds."""

    result: Result
    started_s: float = 0.0  # since the bench began
    waited_s: float = 0.0  # to cool down, before it started
    temperature_before_c: float | None = None
    temperature_after_c: float | None = None

    def row(self) -> dict[str, Any]:
        """What the combined result keeps of it."""
        stages = {n: s["median_ms"] for n, s in self.result["stages"].items()}
        return {
            "started_s": round(self.started_s, 3),
            "waited_s": round(self.waited_s, 3),
            "temperature_before_c": self.temperature_before_c,
            "temperature_after_c": self.temperature_after_c,
            **{name: self.result[name] for name in _NUMBERS},
            "stages_median_ms": stages,
        }


def parse_result(text: str | bytes) -> Result:
    """The JSON of a runner, or of ``mobilevd device bench``; ValueError says what is wrong."""
    try:
        result = json.loads(text)
    except (ValueError, RecursionError) as error:  # cut off, or no UTF-8
        raise ValueError(f"no JSON ({error})") from None
    if not isinstance(result, dict) or result.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"not a result of schema {SCHEMA_VERSION}")
    _require_numbers(result, _NUMBERS, "")
    device = result.get("device")  # none: it ran on a computer
    if device is not None and not isinstance(device, dict):
        raise ValueError("its device is no table")
    if device is not None and not isinstance(device.get("emulated"), bool):
        raise ValueError("device.emulated is missing or neither true nor false")
    if not isinstance(result.get("bundle"), dict) or not result.get("stages"):
        raise ValueError("no bundle or no stages in it")
    if not isinstance(result["stages"], dict):
        raise ValueError("its stages are no table")
    for name, stage in result["stages"].items():
        if not isinstance(stage, dict):
            raise ValueError(f"its stage {name} is no table")
        _require_numbers(stage, _STAGE_NUMBERS, f"{name}.")
        runs = stage.get("runs_ms")
        if not isinstance(runs, list) or len(runs) != stage["calls"] or not all(map(_number, runs)):
            raise ValueError(
                f"{name}.runs_ms is not one time a call: was it made by an older mobilevd_runner?"
            )
    return result


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _require_numbers(table: Mapping[str, Any], names: Sequence[str], prefix: str) -> None:
    for name in names:
        if not _number(table.get(name)):
            raise ValueError(f"{prefix}{name} is missing or no number")


def combine(repeats: Sequence[Repeat]) -> Result:
    """One result of all repeats: the calls pooled, and a row per repeat under ``repeats``.

    ``min``, ``median`` and ``p90`` are over the calls of all repeats, by the runner's own rules
    (p90 is the nearest rank); ``total_ms`` and ``load_ms`` are medians of the repeats, and
    ``peak_rss_mb`` is the largest.
    """
    results = [repeat.result for repeat in repeats]
    stages = {
        name: _pooled([r["stages"][name] for r in results if name in r["stages"]])
        for name in results[-1]["stages"]
    }
    return {
        **results[-1],
        "repeat": len(results),
        "load_ms": round(sum(stage["load_ms"] for stage in stages.values()), 3),
        "stages": stages,
        "total_ms": _median([r["total_ms"] for r in results]),
        "peak_rss_mb": max(r["peak_rss_mb"] for r in results),
        "temperature_c": repeats[-1].temperature_after_c,
        "repeats": [repeat.row() for repeat in repeats],
    }


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 3)


def _pooled(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    runs = [ms for stage in stages for ms in stage["runs_ms"]]
    return {
        **stages[-1],
        "load_ms": _median([stage["load_ms"] for stage in stages]),
        "calls": len(runs),
        "min_ms": min(runs),
        "median_ms": _median(runs),
        "p90_ms": float(np.quantile(runs, 0.9, method="inverted_cdf")),
        "total_ms": round(sum(runs), 3),
        "runs_ms": runs,
        "ops": _summed_ops(stages),
    }


def _summed_ops(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Our own ops, which the runner counts: calls and time by name and ISA."""
    ops: dict[tuple[str, str], dict[str, Any]] = {}
    for op in (op for stage in stages for op in stage.get("ops", ())):
        row = ops.setdefault((op["name"], op["isa"]), {**op, "calls": 0, "total_ms": 0.0})
        row["calls"] += op["calls"]
        row["total_ms"] = round(row["total_ms"] + op["total_ms"], 3)
    return list(ops.values())
