"""Carries out the stages: what is there is not done again, what was cut off goes on."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import torch

from ..models.store import DISCRIMINATOR, save_model
from ..training.data import Mixture
from ..training.methods.mobilevd import collapse
from ..training.processes import processes
from ..training.start import model_at
from ..training.train import Training, train
from ..whole_files import whole_file, write_text
from .stages import CACHED_CLIPS, Stage, stage_named

Report = Callable[[int, int, str], object]


@dataclass(frozen=True)
class Benchmark:
    """``results``: weights, logs and figures, to be committed; ``work``: checkpoints, caches."""

    results: Path
    work: Path

    def weights(self, stage: str) -> Path:
        """Model folder of a stage (the autoencoder's is a file)."""
        name = "autoencoder.safetensors" if stage == "autoencoder" else stage
        return self.results / "weights" / name

    def log(self, stage: str) -> Path:
        return self.results / "logs" / stage

    def done(self, stage: Stage) -> bool:
        """Whether the stage's result is there, made with these very settings."""
        record = self.log(stage.name) / "stage.json"
        return (
            self.weights(stage.name).exists()
            and record.is_file()
            and json.loads(record.read_text())["stage"] == described(stage)
        )


def described(stage: Stage) -> dict[str, object]:
    """A stage as JSON gives it back."""
    return dict(json.loads(json.dumps(asdict(stage))))


def run_stage(benchmark: Benchmark, stage: Stage, minutes: float | None, report: Report) -> bool:
    """True when the stage's weights are in the results; False where the minutes ended first."""
    if benchmark.done(stage):
        return True
    for needed in (stage.start, stage.teacher):
        if needed and not benchmark.done(stage_named(needed)):
            raise ValueError(f"stage {stage.name} starts from {needed}, which is not there yet")
    if stage.stage == "cross_attention":
        return _collapse(benchmark, stage)
    folder = benchmark.work / stage.name
    cached = CACHED_CLIPS[stage.preset_name] if stage.cached_clips is None else stage.cached_clips
    training = Training(
        method=stage.method,
        preset=stage.preset,
        output=folder,
        settings=stage.settings,
        source=Mixture("train"),
        start=benchmark.weights(stage.start) if stage.start else None,
        teacher=benchmark.weights(stage.teacher) if stage.teacher else None,
        vae=None if stage.method == "autoencoder" else benchmark.weights("autoencoder"),
        stage=stage.stage,
        options=stage.options,
        constants=stage.constants,
        cached_clips=cached,
        cache_folder=benchmark.work
        / f"latents-{stage.name if stage.cached_clips else stage.preset_name}",
        minutes=minutes,
        progress=lambda done, total: report(done, total, f"latents for {stage.preset_name}"),
    )
    started = monotonic()
    finished = train(training)
    if processes().is_main_process:
        _add_seconds(folder, monotonic() - started)
        if finished:
            _publish(benchmark, stage, training)
    processes().wait_for_everyone()
    return finished


def _collapse(benchmark: Benchmark, stage: Stage) -> bool:
    assert stage.start is not None
    model = model_at(stage.preset, benchmark.weights(stage.start))
    collapse(model)
    save_model(model, benchmark.weights(stage.name), torch.float16)
    _record(benchmark, stage, 0.0)
    return True


def _add_seconds(folder: Path, seconds: float) -> None:
    path = folder / "seconds.json"
    before = json.loads(path.read_text()) if path.is_file() else 0.0
    write_text(path, json.dumps(before + seconds))


def _publish(benchmark: Benchmark, stage: Stage, training: Training) -> None:
    """Weights, log, curves and the last sheet of samples go to the results."""
    folder, target = training.output, benchmark.weights(stage.name)
    log = benchmark.log(stage.name)
    log.mkdir(parents=True, exist_ok=True)
    for name in ("log.csv", "loss.png"):
        _copy(folder / name, log / name)
    sheets = sorted((folder / "samples").glob("*.png"))
    if sheets:
        _copy(sheets[-1], log / "samples.png")
    if training.result.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(training.result.iterdir()):
            if not (stage.ablation and file.name == DISCRIMINATOR):  # nothing starts from it
                _copy(file, target / file.name)
    else:
        _copy(training.result, target)
    _record(benchmark, stage, float(json.loads((folder / "seconds.json").read_text())))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)


def _record(benchmark: Benchmark, stage: Stage, seconds: float) -> None:
    """Written last: a stage without it is not done."""
    record = {
        "stage": described(stage),
        "seconds": round(seconds, 1),
        "processes": processes().num_processes,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    folder = benchmark.log(stage.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "stage.json", json.dumps(record, indent=1) + "\n")
