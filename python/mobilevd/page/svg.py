"""matplotlib figures as SVG that takes the page's colours: readable in light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Stand-ins that matplotlib draws with -> what the page says they are.
_INK, _FAINT = "#000001", "#000002"
SERIES = ("#000011", "#000012", "#000013", "#000014")
_CSS = {
    _INK: "currentColor",
    _FAINT: "var(--faint)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES)},
}
DELEGATED, ON_CPU, ALERT, OTHER = SERIES

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
}
_WIDTH = 4.4  # inches: about a phone's width, so that text is not shrunk there


@dataclass(frozen=True)
class Plot:
    title: str
    caption: str
    svg: str


def plot(title: str, caption: str, height: float, draw: Any) -> Plot:
    """``draw(axes)`` on a figure of ``height`` inches."""
    try:
        import matplotlib
        from matplotlib.figure import Figure  # no pyplot: no display, no global state
    except ImportError:
        raise ImportError(
            "the page's plots need matplotlib: pip install 'mobilevd[report]'"
        ) from None
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Plot(title, caption, _inline(text.getvalue(), title))


def _inline(svg: str, title: str) -> str:
    """Without what only a file of its own needs; ids that no other plot of the page has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}-", svg)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    for colour, css in _CSS.items():
        svg = svg.replace(colour, css)
    return svg


def stacked_bars(
    axes: Any, labels: Sequence[str], series: Sequence[tuple[str, str, Sequence[float]]]
) -> None:
    """Horizontal, first label on top; ``series``: (name, colour, one value per label)."""
    lefts = [0.0] * len(labels)
    rows = range(len(labels))
    for name, colour, values in series:
        axes.barh(rows, values, left=lefts, color=colour, label=name, height=0.62)
        lefts = [a + b for a, b in zip(lefts, values, strict=True)]
    axes.set_yticks(rows, labels)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", alpha=0.6)
    axes.set_axisbelow(True)
    if len(series) > 1:
        narrow = sum(len(name) for name, _, _ in series) > 36  # else it is wider than the figure
        ncols = 2 if narrow else len(series)
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=ncols)
