"""Stage times of whole clips, for ``mobilevd bench --bundle``."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def bench_bundle(
    bundle: Path, threads: int, repeat: int, backend_libs: Sequence[Path] = ()
) -> list[dict[str, Any]]:
    """One warm-up clip, then ``repeat``; a row per stage with median, p90 and calls a clip."""
    from ..runtime import Pipeline, capture_executorch_log

    capture_executorch_log()
    pipeline = Pipeline(bundle, threads, keep_loaded=True, backend_libs=backend_libs)
    height, width = pipeline.shape[1:]
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(ramp).save(png, "png")
    pipeline.generate(png.getvalue())
    runs = [pipeline.generate(png.getvalue(), seed).stats for seed in range(repeat)]
    rows = []
    for name, stage in runs[0]["stages"].items():
        medians = [run["stages"][name]["median_ms"] for run in runs]
        rows.append(
            {
                "name": name,
                "calls": stage["calls"],
                "median_ms": float(np.median(medians)),
                "p90_ms": float(np.median([run["stages"][name]["p90_ms"] for run in runs])),
                "peak_rss_mb": runs[-1]["peak_rss_mb"],
            }
        )
    return rows
