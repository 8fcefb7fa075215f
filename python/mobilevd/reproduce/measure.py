"""Figures of a row: distance, motion, FLOPs, parameters, latency; made once and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from ..compress.flops import cost, decoder_flops
from ..evaluate.features import DigitsFeatures
from ..evaluate.measure import CLIPS, measure
from ..models.store import Model
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
    """The row's figures; not made again for the same weights, feature network and clips.

    ``latency`` False leaves ``latency_ms`` empty, for a later call on an idle machine.
    """
    path = benchmark.results / "rows" / f"{row.name}.json"
    extract = DigitsFeatures()
    made_from = {
        "weights_sha256": checksum(benchmark.weights(row.stage)),
        "features_sha256": extract.digest,
        "clips": clips,
    }
    figures = dict(json.loads(path.read_text())) if path.is_file() else {}
    kept = made_from.items() <= figures.items()
    if kept and not (latency and figures["latency_ms"] is None):
        return figures
    model = row.model(benchmark)
    if not kept:
        figures = _figures(benchmark, row, model, extract, report, clips) | made_from
        _write(path, figures)
    if latency:
        report(0, 1, f"latency of {row.name}")
        picture = _picture(model.preset.size)
        figures["latency_ms"] = latency_ms(model, benchmark.work / "latency", picture)
        _write(path, figures)
    return figures


def _figures(
    benchmark: Benchmark,
    row: Row,
    model: Model,
    extract: DigitsFeatures,
    report: Report,
    clips: int,
) -> dict[str, Any]:
    """All but the latency."""
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
    return figures | {
        "name": row.name,
        "paper": row.paper,
        "preset": row.preset_name,
        "tflops_per_clip": unet.flops * preset.sampling.evaluations / 1e12,
        "decoder_tflops_per_clip": decoder_flops(preset) / 1e12,
        "params": unet.params,
        "latency_ms": None,
    }


def _write(path: Path, figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(figures, indent=1) + "\n")


def _picture(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(MovingDigits("test").draw(clip_rng(2 * SEED, 0), 1, size).frames[0])
