"""The page: tables and plots of a bundle's report, one file without network or scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...whole_files import write_text
from .plots import plots

_TEMPLATE = "report.html.j2"


def write_page(path: Path, manifest: Mapping[str, Any], name: str) -> None:
    """``manifest``: ``bundle.json``, its stages with ``parity`` where it was measured.

    ``name``: what the page calls the bundle. ImportError says what to install.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise ImportError("the page needs jinja2: pip install 'mobilevd[report]'") from None
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size, "share": share, "count": count}
    text = environment.get_template(_TEMPLATE).render(
        bundle=manifest,
        name=name,
        stages=manifest["stages"],
        plots=plots(manifest["stages"]),
        file_bytes=sum(f["bytes"] for f in manifest["files"].values()),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def size(value: float | None) -> str:
    """Bytes for people; a figure that was not recorded is a dash."""
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
