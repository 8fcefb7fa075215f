"""What the HTML pages share: their look, plots that take its colours, figures as text."""

from .render import render
from .svg import Plot, plot

__all__ = ["Plot", "plot", "render"]
