"""``mobilevd flops``: the paper's tables, the presets, or one preset by module."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..presets import PRESETS, Preset
from .arguments import Json, preset_of
from .main import app
from .output import progress_bar, table, write_json

TITLES = {
    "2": "Table 2, stage by stage",
    "3": "Table 3, multiscaling",
    "5": "Table 5, width reduction",
    "6": "Table 6, temporal block pruning",
    "presets": "presets",
}


@app.command(epilog="Example: mobilevd flops --table 2 --json flops.json")
def flops(
    preset: Annotated[str | None, typer.Option(help="Only this preset.")] = None,
    only: Annotated[
        str | None, typer.Option("--table", help=f"Only one of: {', '.join(TITLES)}.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="module: every block of --preset.")] = None,
    json: Json = None,
) -> None:
    """FLOPs (2 x multiply-add), weights and peak activations of one UNet evaluation, batch 1.

    Counted on the real module without memory for it; norms and activations count as 0. "fitted":
    the paper does not say which blocks, layers or place, so we chose them by FLOPs.
    """
    if only is not None and only not in TITLES:
        raise UsageError(f"unknown table '{only}'; known: {', '.join(TITLES)}")
    if by is not None and (by != "module" or preset is None):
        raise UsageError("--by takes module, together with --preset")
    if preset is not None and only is not None:
        raise UsageError("--preset and --table exclude each other")
    if by is not None and preset is not None:
        _by_module(preset_of(preset), json)
        return
    from ..compress import flops as counter
    from ..compress import paper_tables

    rows: list[dict[str, Any]] = []
    tables = [only] if only else list(TITLES)
    chosen = (
        [preset_of(preset)] if preset else list(PRESETS.values()) if "presets" in tables else []
    )
    total = len(chosen) + sum(r.table in tables for r in paper_tables.ROWS if not preset)
    with progress_bar("flops") as report:
        if not preset:
            for row in paper_tables.count_tables(tables):
                rows.append(row)
                report(len(rows), total, row["name"])
        for one in chosen:
            rows.append(counter.count(one))
            report(len(rows), total, one.name)
    for key, title in TITLES.items():
        _print(title, [r for r in rows if r["table"] == key])
    write_json(json, rows)


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table(
        title,
        ["name", "TFLOPs", "paper", "off by", "", "params M", "fp16 MB", "int8 MB", "peak fp16 MB"],
        [
            [
                r["name"],
                f"{r['tflops']:.3f}",
                f"{paper:.2f}" if (paper := r["paper_tflops"]) else "-",
                f"{r['tflops'] / paper - 1:+.1%}" if paper else "-",
                "fitted" if r.get("fitted") else "",
                f"{r['params'] / 1e6:.1f}",
                f"{r['weights_mb_fp16']:.0f}",
                f"{r['weights_mb_int8']:.0f}",
                f"{r['peak_activation_mb_fp16']:.0f}",
            ]
            for r in rows
        ],
    )


def _by_module(preset: Preset, json: Json) -> None:
    from ..compress.flops import count_by_module

    rows = count_by_module(preset)
    table(
        f"{preset.name} by module",
        ["module", "GFLOPs", "share", "params M"],
        [
            [
                r["name"],
                f"{1e3 * r['tflops']:.2f}",
                f"{r['share']:.2%}",
                f"{r['params'] / 1e6:.2f}",
            ]
            for r in rows
        ],
    )
    write_json(json, rows)
