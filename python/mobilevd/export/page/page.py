"""The page: tables and plots of a bundle's report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...page import render
from ...whole_files import write_text
from .plots import plots

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_page(path: Path, manifest: Mapping[str, Any], name: str) -> None:
    """``manifest``: ``bundle.json``, its stages with ``parity`` where it was measured.

    ``name``: what the page calls the bundle. ImportError says what to install.
    """
    text = render(
        _TEMPLATE,
        bundle=manifest,
        name=name,
        stages=manifest["stages"],
        plots=plots(manifest["stages"]),
        file_bytes=sum(f["bytes"] for f in manifest["files"].values()),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
