"""Milliseconds per clip of the program that phones run, on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from ..export.bundle import export_bundle
from ..export.flavour import Flavour
from ..models.store import Model


def latency_ms(model: Model, folder: Path, picture: Image.Image, threads: int = 1) -> float:
    """Median of 3 clips after a warm-up by ``mobilevd_runner``, picture to frames, XNNPACK fp32."""
    bundle = folder / "bundle"
    export_bundle(model, bundle, Flavour("xnnpack", "fp32"))
    picture.save(folder / "picture.png")
    result = folder / "latency.json"
    subprocess.run(
        [
            sys.executable, "-m", "mobilevd.launch_runner", "--bundle", str(bundle),
            "--image", str(folder / "picture.png"), "--output", str(folder / "frames.y4m"),
            "--threads", str(threads), "--warmup", "1", "--repeat", "3", "--json", str(result),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return float(json.loads(result.read_text())["total_ms"])
