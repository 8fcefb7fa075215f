"""Lowers one stage of a preset at its full size, with random weights, and prints what it took.

    python tests/python/export/full_size.py mobilevd-512x256 unet fp16 [-o unet.pte] [--json FILE]

A process of its own: peak memory is the process's.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.lowering import lower
from mobilevd.export.stages import STAGES, make_stage
from mobilevd.models.store import Model
from mobilevd.presets import PRESETS, get_preset

NETWORKS = {"unet": "unet", "image_encoder": "image_encoder"}


@torch.no_grad()
def random_model(preset: str, stage: str) -> Model:
    """Only the stage's network has weights: no two alike, so that no file is shared."""
    with torch.device("meta"):
        model = Model.fresh(get_preset(preset))
    network = getattr(model, NETWORKS.get(stage, "vae"))
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        parameter.normal_(0, 0.02)
    network.eval().requires_grad_(False)
    return model


def lower_at_full_size(preset: str, stage: str, precision: str, output: Path | None) -> dict:
    torch.manual_seed(0)
    model = random_model(preset, stage)
    started, cpu = time.monotonic(), time.process_time()
    lowered = lower(make_stage(model, stage, "vulkan"), Flavour("vulkan", precision))
    row = {
        "name": f"{preset} {stage} vulkan {precision}",
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "program_mb": round(len(lowered.program) / 1e6, 1),
        "partitions": lowered.report.partitions,
        "delegated_ops": lowered.report.delegated_ops,
        "cpu_ops": lowered.report.cpu_ops,
    }
    if output:
        output.write_bytes(lowered.program)
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("precision", choices=("fp32", "fp16"))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = lower_at_full_size(given.preset, given.stage, given.precision, given.output)
    text = json.dumps(figures, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")
