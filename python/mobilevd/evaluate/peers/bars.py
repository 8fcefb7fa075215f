"""The ratios that the product wants. A bar that is missed is told, and fails nothing: on a busy
machine one run is no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .rows import Row, is_wrong

# Times faster than diffusers' uncompressed UNet at the same size: (must, aim).
_AGAINST_SVD = {"mobilevd-xs": (5.0, None)}
_AGAINST_SVD_ELSE = (2.5, 4.0)
# And than the fastest that runs the same network.
_AGAINST_FASTEST = (1.0, 1.5)


def bars(rows: Sequence[Row], preset: str) -> list[Row]:
    """Each: ``name``, ``value`` (None: not measured), ``must``, ``aim``, ``met``, ``aim_met``."""
    ratios = {row["name"]: row["ratio"] for row in rows if row.get("ratio") and not is_wrong(row)}
    same = {name: ratio for name, ratio in ratios.items() if name != "diffusers-svd"}
    fastest = min(same, key=lambda name: same[name]) if same else None
    must, aim = _AGAINST_SVD.get(preset, _AGAINST_SVD_ELSE)
    return [
        _bar("diffusers-svd", ratios.get("diffusers-svd"), must, aim),
        _bar(
            f"the fastest on the same graph, {fastest}" if fastest else "the same graph",
            same.get(fastest) if fastest else None,
            *_AGAINST_FASTEST,
        ),
    ]


def _bar(name: str, value: float | None, must: float, aim: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "must": must,
        "aim": aim,
        "met": None if value is None else value >= must,
        "aim_met": None if value is None or aim is None else value >= aim,
    }


def line(bar: Row) -> str:
    """As the command prints it."""
    aim = "" if bar["aim"] is None else f", aim {bar['aim']:g}"
    wanted = f"must be {bar['must']:g} times as fast{aim}"
    if bar["value"] is None:
        return f"against {bar['name']}: not measured ({wanted})"
    verdict = "aim met" if bar["aim_met"] else "met" if bar["met"] else "MISSED"
    return f"against {bar['name']}: {bar['value']:.2f} times as fast: {verdict} ({wanted})"
