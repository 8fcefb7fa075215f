"""``mobilevd device report``: several runs and devices side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .device import device
from .output import table


@device.command(epilog="Example: mobilevd device report pixel.json galaxy.json -o report")
def report(
    results: Annotated[
        list[Path], typer.Argument(help="JSON files of device run, device bench or the runner.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for report.json, .md and .html.")
    ],
) -> None:
    """Put runs side by side: report.json, report.md and one HTML page with plots and frames."""
    from ..device.report import write_report

    runs = write_report(results, output)
    table(
        f"{output}/report.html",
        ["run", "where", "clip ms", "load ms", "peak MB"],
        [
            [
                run.name,
                run.where,
                f"{run.result['total_ms']:.1f}",
                f"{run.result['load_ms']:.1f}",
                f"{run.result['peak_rss_mb']:.0f}",
            ]
            for run in runs
        ],
    )
