"""How the benchmark measures: interleaved in one process, medians and minima.

Every candidate's inputs and output are allocated beforehand, and all of them must give the same
answer before any is timed. In each round the candidates run once, in turn, so that a busy machine
slows all of them; one that is slow takes part in fewer rounds, spread evenly. glibc keeps freed
memory, so that nobody pays for fresh pages on its internal allocations. Ratios are of medians.

The roofline is max(flops / peak FMA rate, bytes / stream bandwidth), both measured in the same run
with the same threads: on a machine that is busy then, or for a shape that fits in a cache, the
share can pass 100 %.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from .problem import Candidate


class DisagreementError(RuntimeError):
    """A candidate's answer is not ours."""


def check(made: dict[str, Candidate], tolerance: float) -> dict[str, float]:
    """Run each once and compare with "ours"; `tolerance` is a share of max |ours|. Returns the
    seconds each took."""
    with torch.inference_mode():
        seconds = {name: _seconds(candidate.run) for name, candidate in made.items()}
    ours = made["ours"].result()
    bound = tolerance * float(np.abs(ours).max())
    for name, candidate in made.items():
        error = float(np.abs(candidate.result() - ours).max())
        if not error <= bound:
            raise DisagreementError(f"{name} differs from ours by {error:.2g}, allowed {bound:.2g}")
    return seconds


def interleave(
    calls: dict[str, Callable[[], object]],
    rounds: int,
    seconds_each: float,
    first: dict[str, float],
) -> dict[str, list[float]]:
    """Times of each call in seconds: `rounds` of them, or as many (2 at least) as fit into
    `seconds_each`. `first` is what each took before; short ones warm up once more."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        wanted = {}
        for name, call in calls.items():
            typical = _seconds(call) if first[name] < seconds_each else first[name]
            wanted[name] = min(rounds, max(2, int(seconds_each / typical)))
        for turn in range(rounds):
            for name, count in wanted.items():
                if (turn + 1) * count // rounds > turn * count // rounds:
                    times[name].append(_seconds(calls[name]))
    return times


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def keep_freed_memory() -> None:
    """Let glibc's malloc reuse large blocks instead of returning them: mallopt(3)."""
    if sys.platform != "linux":
        return
    trim_threshold, mmap_max = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
