"""Figures of a bench held to bars (largest values) and to a baseline (an earlier bench).

A figure has regressed when ``new > old * (1 + noise) + spread``. ``noise`` is what a device may
drift between two benches; ``spread`` is the larger of the two benches' interquartile ranges over
their repeats, so that an unsteady device does not fail by chance. Where the spread is more than
the noise, the verdict says so: such a bench needs more repeats or a cooler device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from .results import Result, parse_result

WHOLE = ("total_ms", "load_ms", "peak_rss_mb")
OF_A_STAGE = ("min_ms", "median_ms", "p90_ms", "load_ms")
# What has to be the same for two benches to be comparable, and how it is found in a result.
_SAME = {
    "preset": ("bundle", "preset"),
    "backend": ("bundle", "backend"),
    "precision": ("bundle", "precision"),
    "steps": ("steps",),
    "threads": ("threads",),
    "model": ("device", "model"),
}


@dataclass(frozen=True)
class Verdict:
    """One figure against its limit; ``kind`` is ``bar`` or ``baseline``."""

    kind: str
    name: str
    value: float
    limit: float
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.value <= self.limit

    @property
    def line(self) -> str:
        relation = "within" if self.ok else "OVER"
        note = f" ({self.note})" if self.note else ""
        return f"{self.name} {self.value:g} is {relation} {self.limit:g}, its {self.kind}{note}"

    def row(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def figures(result: Result) -> dict[str, float]:
    """All that a bar can name: ``total_ms``, …, ``unet.median_ms``, …"""
    found = {name: float(result[name]) for name in WHOLE}
    for stage, row in result["stages"].items():
        found |= {f"{stage}.{name}": float(row[name]) for name in OF_A_STAGE}
    return found


def parse_bars(texts: Sequence[str], stages: Sequence[str]) -> dict[str, float]:
    """``total_ms=1500`` -> a limit by figure; UsageError unless the stages have such a figure."""
    known = [*WHOLE, *(f"{stage}.{name}" for stage in stages for name in OF_A_STAGE)]
    bars = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not 0 < limit < math.inf:
            raise UsageError(f"--bar {text}: give FIGURE=LARGEST, such as total_ms=1500")
        if name not in known:
            raise UsageError(f"--bar {text}: no figure {name}; there are {', '.join(known)}")
        bars[name] = limit
    return bars


def against_bars(result: Result, bars: Mapping[str, float]) -> list[Verdict]:
    found = figures(result)
    return [Verdict("bar", name, found[name], limit) for name, limit in bars.items()]


def read_baseline(path: Path) -> Result:
    try:
        return parse_result(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--baseline {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--baseline {path}: {error}") from None


def choose_baseline(baselines: Sequence[Result], device: Mapping[str, Any]) -> Result:
    """That of the device itself, else of one of its model; UsageError if there is neither."""
    for key in ("serial", "model"):
        for baseline in baselines:
            if (baseline.get("device") or {}).get(key) == device[key]:
                return baseline
    have = ", ".join(str((b.get("device") or {}).get("model", "no phone")) for b in baselines)
    raise UsageError(f"no baseline of a {device['model']} ({device['serial']}): they are of {have}")


def check_comparable(baseline: Result, result: Result) -> None:
    """UsageError unless the two ran the same bundle in the same way on the same model of device."""
    for name, path in _SAME.items():
        old, new = _at(baseline, path), _at(result, path)
        if old != new:
            raise UsageError(
                f"the baseline has {name} {old}, this bench has {new}: they cannot be compared"
            )


def _at(result: Any, path: Sequence[str]) -> Any:
    for key in path:
        result = result.get(key) if isinstance(result, Mapping) else None
    return result


def against_baseline(result: Result, baseline: Result, noise: float) -> list[Verdict]:
    """Whole figures and each stage's median, by the rule at the top of this file."""
    new, old = figures(result), figures(baseline)
    names = [n for n in new if "." not in n or n.endswith(".median_ms")]
    lost = [n for n in names if n not in old]
    if lost:
        raise UsageError(f"the baseline has no {', '.join(lost)}: it is of another bundle")
    return [_verdict(n, new[n], old[n], noise, _spread(n, result, baseline)) for n in names]


def _verdict(name: str, new: float, old: float, noise: float, spread: float) -> Verdict:
    limit = old * (1 + noise) + spread
    note = f"{old:g} before, {noise:.0%} noise, spread {spread:.3g}"
    if spread > noise * old > 0:
        note += "; unsteady, take more repeats or a cooler device"
    return Verdict("baseline", name, new, round(limit, 3), note)


def _spread(name: str, *results: Result) -> float:
    """The larger interquartile range over repeats; 0 for a result without repeats."""
    stage, _, _ = name.rpartition(".")
    ranges = [0.0]
    for result in results:
        rows = result.get("repeats") or ()
        values = [row["stages_median_ms"][stage] if stage else row[name] for row in rows]
        if values:
            ranges.append(float(np.subtract(*np.percentile(values, [75, 25]))))
    return max(ranges)
