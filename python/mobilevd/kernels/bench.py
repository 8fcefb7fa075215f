"""The kernels against torch, interleaved in one process: `python -m mobilevd.kernels.bench`.

How it measures: every candidate's inputs, work buffers and output are allocated beforehand; in each
repetition every candidate runs once, in turn, so that a busy machine slows all of them; glibc keeps
freed memory, so that torch does not pay for fresh pages on its internal allocations. Ratios are of
medians. The roofline is max(flops / peak FMA rate, bytes / stream bandwidth), both measured right
before with the same threads: on a machine that is busy then, or for a shape that fits in a cache,
the share can pass 100 %.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from mobilevd import _kernels, kernels

# kernels/shapes/temporal_attention.txt: frames, positions, channels, head_dim.
_SIZES = (
    (14, 2048, 320),
    (14, 512, 640),
    (14, 128, 1280),
    (14, 32, 1280),
    (7, 512, 640),
    (7, 128, 1280),
    (7, 32, 1280),
)
TEMPORAL_ATTENTION_SHAPES = tuple((*size, head_dim) for head_dim in (64, 32) for size in _SIZES)

Row = dict[str, Any]


def bench_temporal_attention(
    threads: Iterable[int] = (1, 2),
    repeats: int = 15,
    shapes: Sequence[tuple[int, int, int, int]] = TEMPORAL_ATTENTION_SHAPES,
) -> list[Row]:
    """Time temporal_attention (float32) against torch on the model's shapes.

    Each row has `name`, `frames`, `positions`, `channels`, `head_dim`, `threads`, `isa`,
    `median_ms`, `min_ms`, `torch_permute_median_ms`, `torch_strided_median_ms` (and `..._min_ms`),
    `ratio_torch_permute`, `ratio_torch_strided` (times faster, of medians), `gflops`, `gbps`,
    `roofline_share`.
    """
    _keep_freed_memory()
    before = torch.get_num_threads(), kernels.get_num_threads()
    rows = []
    try:
        for count in threads:
            torch.set_num_threads(count)
            kernels.set_num_threads(count)
            peak, bandwidth = _kernels.measure_roofline(0.3)
            rows += [_row(shape, count, repeats, peak, bandwidth) for shape in shapes]
    finally:
        torch.set_num_threads(before[0])
        kernels.set_num_threads(before[1])
    return rows


def _row(
    shape: tuple[int, int, int, int], threads: int, repeats: int, peak: float, bandwidth: float
) -> Row:
    frames, positions, channels, head_dim = shape
    seconds = _interleave(_candidates(*shape), repeats)
    ours = seconds["ours"]
    flops = 4.0 * frames * frames * positions * channels
    moved = 4.0 * 4 * frames * positions * channels
    bound = max(flops / peak, moved / bandwidth) * 1e-9
    row: Row = {
        "name": f"temporal_attention {frames}x{positions}x{channels} head_dim {head_dim} "
        f"threads {threads}",
        "frames": frames,
        "positions": positions,
        "channels": channels,
        "head_dim": head_dim,
        "threads": threads,
        "isa": kernels.isa(),
        "median_ms": 1e3 * statistics.median(ours),
        "min_ms": 1e3 * min(ours),
    }
    for peer in ("torch_permute", "torch_strided"):
        row[f"{peer}_median_ms"] = 1e3 * statistics.median(seconds[peer])
        row[f"{peer}_min_ms"] = 1e3 * min(seconds[peer])
        row[f"ratio_{peer}"] = statistics.median(seconds[peer]) / statistics.median(ours)
    row["gflops"] = 1e-9 * flops / statistics.median(ours)
    row["gbps"] = 1e-9 * moved / statistics.median(ours)
    row["roofline_share"] = bound / statistics.median(ours)
    return row


def _candidates(
    frames: int, positions: int, channels: int, head_dim: int
) -> dict[str, Callable[[], object]]:
    heads = channels // head_dim
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, frames, positions, channels, generator=generator) for _ in range(3))
    out = torch.empty_like(v)
    q_array, k_array, v_array, out_array = q.numpy(), k.numpy(), v.numpy(), out.numpy()

    def heads_first(x: torch.Tensor) -> torch.Tensor:  # [F, S, H*d] -> [S, H, F, d], strided
        return x.view(frames, positions, heads, head_dim).permute(1, 2, 0, 3)

    copies = [torch.empty(positions, heads, frames, head_dim) for _ in range(3)]

    def torch_permute() -> None:
        for copy, x in zip(copies, (q, k, v), strict=True):
            copy.copy_(heads_first(x))
        query, key, value = copies
        heads_first(out).copy_(scaled_dot_product_attention(query, key, value))

    def torch_strided() -> None:
        heads_first(out).copy_(
            scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v))
        )

    def ours() -> None:
        _kernels.temporal_attention(q_array, k_array, v_array, out_array, heads)

    return {"ours": ours, "torch_permute": torch_permute, "torch_strided": torch_strided}


def _interleave(
    candidates: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    with torch.inference_mode():
        for repeat in range(repeats + 1):
            for name, run in candidates.items():
                start = time.perf_counter()
                run()
                if repeat > 0:  # the first one warms up
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def _keep_freed_memory() -> None:
    """Let glibc's malloc reuse large blocks instead of returning them: mallopt(3)."""
    if sys.platform != "linux":
        return
    trim_threshold, mmap_max = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


def print_table(rows: Iterable[Row]) -> None:
    """One line per row, on the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"temporal_attention, float32, {kernels.isa()}; times are medians")
    for column in (
        "F x S x C",
        "head_dim",
        "threads",
        "ours ms",
        "min ms",
        "torch permute ms",
        "x",
        "torch strided ms",
        "x",
        "GFLOP/s",
        "GB/s",
        "roofline",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row['frames']}x{row['positions']}x{row['channels']}",
            str(row["head_dim"]),
            str(row["threads"]),
            f"{row['median_ms']:.2f}",
            f"{row['min_ms']:.2f}",
            f"{row['torch_permute_median_ms']:.2f}",
            f"{row['ratio_torch_permute']:.1f}",
            f"{row['torch_strided_median_ms']:.2f}",
            f"{row['ratio_torch_strided']:.1f}",
            f"{row['gflops']:.0f}",
            f"{row['gbps']:.1f}",
            f"{row['roofline_share']:.0%}",
        )
    console = Console()
    Console(width=None if console.is_terminal else 140).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mobilevd.kernels.bench",
        description="Time the C++ kernels against torch.",
        epilog="example: python -m mobilevd.kernels.bench --threads 1 --json kernels.json",
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--repeats", type=int, default=15, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    options = parser.parse_args(arguments)
    if options.repeats < 1 or min(options.threads) < 1:
        parser.error("--threads and --repeats must be at least 1")
    rows = bench_temporal_attention(options.threads, options.repeats)
    print_table(rows)
    if options.json is not None:
        part = options.json.with_name(options.json.name + ".part")
        part.write_text(json.dumps(rows, indent=1) + "\n")
        part.replace(options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
