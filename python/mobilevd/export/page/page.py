"""The page: tables and plots of a bundle's report, one file without network or scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...whole_files import write_text
from .plots import plots
from .units import count, share, size

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
