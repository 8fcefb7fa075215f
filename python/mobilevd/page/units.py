"""Figures as text for people; what was not recorded is a dash."""

from __future__ import annotations


def size(value: float | None) -> str:
    """Bytes: 12.3 MB."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def count(value: float | None) -> str:
    """FLOPs and the like: 12.3 G."""
    if value is None:
        return "–"
    for unit in ("", "k", "M", "G"):
        if abs(value) < 1000:
            return f"{value:.0f}" if not unit else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} T"


def share(value: float | None) -> str:
    """Nearly all is not all: 99.96 % does not become 100 %."""
    if value is None:
        return "–"
    return f"{min(100 * value, 99.9) if value < 1 else 100:.1f} %"
