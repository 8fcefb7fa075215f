"""Rows as a table on the terminal and as Markdown for kernels/README.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

Row = dict[str, Any]

_LIBRARIES = {
    "torch": "torch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "executorch": "ExecuTorch",
}


def peer_label(peer: str) -> str:
    library, _, variant = peer.partition("_")
    return f"{_LIBRARIES.get(library, library)} {variant}".replace("_", " ").strip()


def _by_kernel(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for kernel, group in groupby(rows, key=lambda row: str(row["kernel"])):
        yield kernel, list(group)


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """The peers of any row, in order, and the table's headings."""
    peers = list(dict.fromkeys(peer for row in rows for peer in row["peers"]))
    return peers, [
        "shape",
        "threads",
        "ours ms",
        "min",
        *(peer_label(peer) for peer in peers),
        "GFLOP/s",
        "GB/s",
        "of roofline",
    ]


def _cells(row: Row, peers: Sequence[str]) -> list[str]:
    def of_peer(peer: str) -> str:
        if f"ratio_{peer}" not in row:
            return "-"
        ratio = row[f"ratio_{peer}"]
        return f"{_ms(row[f'{peer}_median_ms'])} ({ratio:.{2 if ratio < 2 else 1}f}x)"

    return [
        row["shape"],
        str(row["threads"]),
        _ms(row["median_ms"]),
        _ms(row["min_ms"]),
        *(of_peer(peer) for peer in peers),
        f"{row['gflops']:.0f}",
        f"{row['gbps']:.1f}",
        f"{row['roofline_share']:.0%}",
    ]


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def print_tables(rows: Sequence[Row]) -> None:
    """One table for each kernel, on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for kernel, group in _by_kernel(rows):
        peers, headings = _columns(group)
        table = Table(
            title=f"{kernel}, float32, {group[0]['isa']}: medians in ms (times slower than ours)",
            title_justify="left",
        )
        for heading in headings:
            table.add_column(heading, justify="right", no_wrap=heading == "shape")
        for row in group:
            table.add_row(*_cells(row, peers))
        Console(width=None if console.is_terminal else 200).print(table)


def markdown(rows: Sequence[Row]) -> str:
    """The same with headings, for kernels/README.md."""
    first = rows[0]
    versions = ", ".join(f"{_LIBRARIES[name]} {v}" for name, v in first["versions"].items())
    lines = [f"{first['machine']}, {first['date']}; float32; {versions}.", ""]
    for kernel, group in _by_kernel(rows):
        peers, headings = _columns(group)
        lines += [f"### {kernel} ({group[0]['isa']})", ""]
        lines += ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
        lines += ["| " + " | ".join(_cells(row, peers)) + " |" for row in group]
        lines += [""]
    return "\n".join(lines)
