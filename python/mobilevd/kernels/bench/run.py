"""The loop over kernels, shapes and threads; a row of figures for each."""

from __future__ import annotations

import datetime
import gc
import importlib
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from mobilevd import _kernels, kernels

from . import measure, peers
from .problem import Kernel, Problem

Row = dict[str, Any]

# Of each candidate for one row; a full table of all kernels then stays under ten minutes.
SECONDS_EACH = 0.4


def load_kernel(name: str) -> Kernel:
    kernel: Kernel = importlib.import_module(f"{__package__}.{name}").KERNEL
    return kernel


def run(
    kernel: Kernel,
    threads: Sequence[int] = (1, 2),
    rounds: int = 15,
    libraries: Sequence[str] = tuple(peers.LIBRARIES),
    shapes: Sequence[tuple[int | str, ...]] | None = None,
    report: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[Row]:
    """Time `kernel` and its peers in float32.

    Parameters
    ----------
    libraries : keys of peers.LIBRARIES; one that is not installed is left out
    shapes : the kernel's own when None

    Returns
    -------
    A row for each shape and thread count: `name`, `kernel`, `shape` and its sizes by name,
    `threads`, `isa`, `median_ms`, `min_ms`; `<peer>_median_ms`, `<peer>_min_ms`, `ratio_<peer>`
    (times_slower) for each of `peers`; `gflops`, `gbps`, `roofline_share`, and the
    bounds `peak_gflops`, `stream_gbps`; `machine`, `date`, `versions`.

    Raises
    ------
    measure.DisagreementError
        A peer computes something else.
    """
    present = [library for library in libraries if not peers.missing_modules(library)]
    shapes = kernel.shapes if shapes is None else shapes
    measure.keep_freed_memory()
    before = torch.get_num_threads(), kernels.get_num_threads()
    machine = about(present)
    rows = []
    try:
        bounds = {}
        for count in threads:
            peers.set_threads(count, present)
            bounds[count] = _kernels.measure_roofline(0.3)
        for number, shape in enumerate(shapes):
            problem = kernel.problem(*shape)
            programs = peers.lower(problem) if "executorch" in present else {}
            for turn, count in enumerate(threads):
                report(
                    number * len(threads) + turn,
                    len(shapes) * len(threads),
                    f"{kernel.name} {kernel.label(shape)}, threads {count}",
                )
                gc.collect()  # no ExecuTorch program may outlive its threads
                peers.set_threads(count, present)
                made = peers.candidates(problem, programs, present, count)
                first = measure.check(made, problem.tolerance)
                calls = {name: candidate.run for name, candidate in made.items()}
                times = measure.interleave(calls, rounds, SECONDS_EACH, first)
                del made, calls
                rows.append(_row(kernel, shape, count, problem, times, bounds[count]) | machine)
    finally:
        gc.collect()
        torch.set_num_threads(before[0])
        kernels.set_num_threads(before[1])
    return rows


def _row(
    kernel: Kernel,
    shape: tuple[int | str, ...],
    threads: int,
    problem: Problem,
    times: dict[str, list[float]],
    bounds: tuple[float, float],
) -> Row:
    ours = statistics.median(times["ours"])
    others = [name for name in times if name != "ours"]
    row: Row = {
        "name": f"{kernel.name} {kernel.label(shape)} threads {threads}",
        "kernel": kernel.name,
        "shape": kernel.label(shape),
        **dict(zip(kernel.sizes, shape, strict=True)),
        "threads": threads,
        "isa": kernels.isa(),
        "median_ms": 1e3 * ours,
        "min_ms": 1e3 * min(times["ours"]),
        "peers": others,
    }
    for name in others:
        row[f"{name}_median_ms"] = 1e3 * statistics.median(times[name])
        row[f"{name}_min_ms"] = 1e3 * min(times[name])
        row[f"ratio_{name}"] = times_slower(times[name], times["ours"])
    peak, stream = bounds
    row["gflops"] = 1e-9 * problem.flops / ours
    row["gbps"] = 1e-9 * problem.moved_bytes / ours
    row["roofline_share"] = max(row["gflops"] / peak, row["gbps"] / stream)
    row["peak_gflops"], row["stream_gbps"] = peak, stream
    return row


def times_slower(peer: Sequence[float], ours: Sequence[float]) -> float:
    """The smaller of the ratios of medians and of minima: what disturbs a peer's calls, or warms up
    slowly, does not flatter us."""
    return min(statistics.median(peer) / statistics.median(ours), min(peer) / min(ours))


def about(libraries: Sequence[str]) -> Row:
    """Which machine, when, and whose versions."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "machine": f"{model}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
        "versions": {library: importlib.metadata.version(library) for library in libraries},
    }
