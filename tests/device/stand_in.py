"""A package whose runner is a small script: it takes the real one's flags, and leaves a clip and a
result like the real one's in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from mobilevd.export.manifest import SCHEMA_VERSION
from packages import describe
from PIL import Image

FRAMES, HEIGHT, WIDTH = 3, 16, 24
# Files on the device that tests write, to say how the next runs go.
CLIP_MS, SAYS, RESULT = "/data/clip_ms", "/data/says", "/data/result"

_RUNNER = f"""#!/system/bin/sh
here=${{0%/*}}
echo "$*" >> /data/arguments
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=$2 ;;
    --json) json=$2 ;;
    --float-frames) floats=$2 ;;
  esac
  shift
done
[ -f {SAYS} ] && {{ . {SAYS}; }}
ms=$(cat {CLIP_MS} 2>/dev/null || echo 100)
full() {{ echo "mobilevd_runner: cannot write $1: No space left on device" >&2; exit 1; }}
rm -rf "$output"
mkdir -p "$output" || full "$output"
cp "$here"/frames/* "$output" || full "$output"
sed "s/100.0/$ms/" "$here/result.json" > "$json"
[ -z "$floats" ] || echo floats > "$floats"
[ -s "$json" ] || full "$json"
echo packed >> "$XDG_CACHE_HOME/unet.packed"
[ ! -f {RESULT} ] || cp {RESULT} "$json"
"""


def frames() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the stand-in's clips show: uint8 [F, H, W, 3]."""
    ramp = np.arange(FRAMES * HEIGHT * WIDTH * 3) % 251
    return ramp.reshape(FRAMES, HEIGHT, WIDTH, 3).astype(np.uint8)


def result() -> dict[str, Any]:
    """What its runs report; a clip takes 100.0 ms."""

    def stage(ms: float, calls: int = 1) -> dict[str, Any]:
        times = {"min_ms": ms, "median_ms": ms, "p90_ms": ms, "total_ms": ms * calls}
        return {"load_ms": 2.0, "calls": calls, **times, "runs_ms": [ms] * calls}

    op = {"name": "mobilevd::temporal_attention", "isa": "neon", "calls": 4, "total_ms": 3.5}
    return {
        "schema_version": 1,
        "tool": "mobilevd_runner",
        "host": {"arch": "aarch64", "cpu": "stand-in", "cores": 2},
        "bundle": {"path": "b", "preset": "toy", "backend": "xnnpack", "precision": "fp32"},
        "seed": 0,
        "steps": 1,
        "nfe": 1,
        "threads": 1,
        "isa": "neon",
        "warmup": 1,
        "repeat": 1,
        "load_ms": 8.0,
        "stages": {
            "image_encoder": stage(5.0),
            "vae_encoder": stage(10.0),
            "unet": {**stage(30.0, 2), "ops": [op]},
            "vae_decoder": stage(20.0),
        },
        "total_ms": 100.0,
        "peak_rss_mb": 50.0,
        "temperature_c": None,
        "output": "frames",
    }


def write_package(folder: Path, abi: str = "arm64-v8a") -> Path:
    """The package, with a bundle of its own."""
    (folder / "frames").mkdir(parents=True)
    for i, frame in enumerate(frames()):
        Image.fromarray(frame).save(folder / f"frames/frame_{i:04d}.png")
    (folder / "mobilevd_runner").write_text(_RUNNER)
    (folder / "result.json").write_text(json.dumps(result()))
    (folder / "bundle").mkdir()
    (folder / "bundle/bundle.json").write_text(json.dumps(_bundle()))
    return describe(folder, "mobilevd_runner", abi=abi)


def _bundle() -> dict[str, Any]:
    stages = {name: {} for name in result()["stages"]}
    return {
        "schema_version": SCHEMA_VERSION,
        "preset": "toy",
        "backend": "xnnpack",
        "precision": "fp32",
        "shapes": {"frames": FRAMES, "height": HEIGHT, "width": WIDTH},
        "sampling": {"steps": 1, "fps": 7.0},
        "stages": stages,
        "files": {},
    }
