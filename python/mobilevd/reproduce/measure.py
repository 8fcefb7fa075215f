"""Figures of a row: distance, motion, FLOPs, parameters, latency; made once and kept."""

from __future__ import annotations

import json
from typing import Any

import torch
from PIL import Image

from ..compress.flops import cost, decoder_flops
from ..evaluate.features import DigitsFeatures
from ..evaluate.measure import CLIPS, measure
from ..training.data import MovingDigits, clip_rng
from ..training.start import checksum
from ..whole_files import write_text
from .latency import latency_ms
from .rows import Row
from .run import Benchmark, Report

SEED = 7  # of pictures, real clips and noise: the same for all rows


def measure_row(
    benchmark: Benchmark, row: Row, report: Report, clips: int = CLIPS, latency: bool = True
) -> dict[str, Any]:
    """The row's figures; not made again for the same weights, feature network and clips."""
    path = benchmark.results / "rows" / f"{row.name}.json"
    extract = DigitsFeatures()
    made_from = {
        "weights_sha256": checksum(benchmark.weights(row.stage)),
        "features_sha256": extract.digest,
        "clips": clips,
    }
    if path.is_file():
        kept = dict(json.loads(path.read_text()))
        if made_from.items() <= kept.items():
            return kept
    model = row.model(benchmark)
    preset = model.preset
    sheet = benchmark.results / "sheets" / f"{row.name}.png"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    figures = measure(
        model,
        clips,
        benchmark.work / "clips",
        seed=SEED,
        extract=extract,
        sheet=sheet,
        progress=report,
    )
    unet = cost(preset.unet, preset.latent_size)
    figures |= {
        "name": row.name,
        "paper": row.paper,
        "preset": row.preset_name,
        "tflops_per_clip": unet.flops * preset.sampling.evaluations / 1e12,
        "decoder_tflops_per_clip": decoder_flops(preset) / 1e12,
        "params": unet.params,
        "latency_ms": None,
        "threads": torch.get_num_threads(),
    } | made_from
    if latency:
        report(0, 1, f"latency of {row.name}")
        figures["latency_ms"] = latency_ms(model, benchmark.work / "latency", _picture(preset.size))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(figures, indent=1) + "\n")
    return figures


def _picture(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(MovingDigits("test").draw(clip_rng(2 * SEED, 0), 1, size).frames[0])
