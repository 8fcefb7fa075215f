"""What the doctor says: a state, what was seen, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """``warn``: figures suffer or something is not known; ``fail``: it will not run.

    ``advice`` is what to do, empty only for ``ok``. ``figures`` are the same facts for programs,
    under names with units.
    """

    name: str
    state: State
    seen: str
    advice: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def ok(name: str, seen: str, **figures: Any) -> Finding:
    return Finding(name, "ok", seen, figures=figures)


def warn(name: str, seen: str, advice: str, **figures: Any) -> Finding:
    return Finding(name, "warn", seen, advice, figures)


def fail(name: str, seen: str, advice: str, **figures: Any) -> Finding:
    return Finding(name, "fail", seen, advice, figures)
