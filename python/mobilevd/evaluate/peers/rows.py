"""From times to figures under plain names."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .processes import PeerError

Row = dict[str, Any]

DRIFT = 0.1  # of ours, as a share, that a ratio still stands
WRONG = 1e-3  # relative L2 against eager PyTorch; float32 by other orders of summing has 1e-5


def times(runs_ms: Sequence[float], gflops: float) -> Row:
    """``median_ms``, ``min_ms``, ``evaluations`` (how many), ``gflops_per_evaluation`` and the
    median's ``gflop_per_s``."""
    median = statistics.median(runs_ms)
    return {
        "median_ms": median,
        "min_ms": min(runs_ms),
        "evaluations": len(runs_ms),
        "runs_ms": list(runs_ms),
        "gflops_per_evaluation": gflops,
        "gflop_per_s": gflops / median * 1e3,
    }


def against_ours(
    row: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Row:
    """``ours_before_ms``, ``ours_after_ms``; ``ratio``: times slower than the mean of the two
    (above 1: we are faster); ``share_of_fma_peak``, of the higher of the two peaks."""
    medians = [before["median_ms"], after["median_ms"]]
    peak = max(before["peak_gflops"], after["peak_gflops"])
    return {
        "ours_before_ms": medians[0],
        "ours_after_ms": medians[1],
        "ratio": row["median_ms"] / statistics.mean(medians),
        "peak_gflops": peak,
        "share_of_fma_peak": row["gflop_per_s"] / peak,
    }


def relative_l2(answer: Path, reference: Path) -> float:
    """Of two .npy files, in float64; PeerError where the answer has NaN or infinite values."""
    import torch

    from ..parity.figures import compare

    got, want = (torch.from_numpy(np.load(path)) for path in (answer, reference))
    figures = compare(got.reshape(want.shape), want)
    if figures["non_finite"]:
        raise PeerError(f"{figures['non_finite']} values of its answer are NaN or infinite")
    return float(figures["relative_l2"])


def drifted(row: Mapping[str, Any]) -> bool:
    """Ours took another time after the peer than before: the machine was not its own, or its
    clock changed, and the ratio is to be taken again."""
    ours = [row[name] for name in ("ours_before_ms", "ours_after_ms") if row.get(name)]
    return len(ours) == 2 and max(ours) > (1 + DRIFT) * min(ours)


def is_wrong(row: Mapping[str, Any]) -> bool:
    """It computes something else: its time says nothing."""
    return (row.get("relative_l2") or 0.0) > WRONG
