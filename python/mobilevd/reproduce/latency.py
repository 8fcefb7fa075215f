"""Milliseconds per clip of the program that phones run, on this machine."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..export.bundle import export_bundle
from ..export.flavour import Flavour
from ..models.store import Model


def latency_ms(model: Model, folder: Path, picture: Image.Image, threads: int = 1) -> float:
    """Median of 3 clips after a warm-up by ``mobilevd_runner``, picture to frames, XNNPACK fp32."""
    from ..runtime.runner import run_runner

    bundle = folder / "bundle"
    export_bundle(model, bundle, Flavour("xnnpack", "fp32"))
    picture.save(folder / "picture.png")
    flags = ["--image", folder / "picture.png", "--output", folder / "frames.y4m"]
    flags += ["--threads", threads, "--warmup", 1, "--repeat", 3]
    return float(run_runner(bundle, flags, str(bundle)).json["total_ms"])
