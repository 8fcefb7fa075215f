"""``mobilevd train``: one run of one method."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .arguments import PresetName, preset_of
from .main import app
from .output import progress_bar


@app.command(
    epilog="Example: mobilevd train --preset mini --method autoencoder -o runs/vae && "
    "mobilevd train --preset mini --vae runs/vae/vae.safetensors -o runs/svd"
)
def train(
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder; resumed if there.")],
    preset: PresetName = "mini",
    method: Annotated[
        str, typer.Option(help="autoencoder, svd, animatelcm, ufogen, ladd, sfv or mobilevd.")
    ] = "svd",
    stage: Annotated[
        str | None,
        typer.Option(help="Of mobilevd: low_resolution, adversarial, multiscaling, pruning, ..."),
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Model folder to go on from.")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Frozen model folder. Default: --start.")
    ] = None,
    vae: Annotated[
        Path | None, typer.Option(help="Trained autoencoder, for svd from nothing.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Of all processes.")] = None,
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Clips at a time; gradients add up.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16 (autocast).")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(min=1, help="Steps.")] = None,
    sample_every: Annotated[
        int | None, typer.Option(min=0, help="Steps between pictures of samples; 0: none.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool, typer.Option(help="Less memory for a third more time.")
    ] = False,
    data: Annotated[
        str,
        typer.Option(help="builtin, digits, folder:PATH, ucf101:PATH or shards:PATH."),
    ] = "builtin",
    fps: Annotated[int | None, typer.Option(min=1, help="Videos are resampled to this.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode clips ahead.")
    ] = None,
    cache_clips: Annotated[
        int, typer.Option(min=0, help="Encode so many clips once and reuse them; 0: none.")
    ] = 0,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop then; run again to go on.")
    ] = None,
) -> None:
    """Train a model; run the same command again to resume."""
    chosen = preset_of(preset)
    from ..training.data.sources import open_source
    from ..training.methods.mobilevd_options import STAGES
    from ..training.train import DEFAULTS, METHODS, Training
    from ..training.train import train as run

    if method not in METHODS:
        raise UsageError(f"unknown method '{method}'; known: {', '.join(METHODS)}")
    if precision not in (None, "fp32", "bf16"):
        raise UsageError(f"--precision must be fp32 or bf16, not {precision}")
    if method == "mobilevd" and stage not in STAGES:
        raise UsageError(f"method mobilevd needs --stage, one of: {', '.join(STAGES)}")
    if method == "svd" and start is None and (vae is None or not vae.is_file()):
        raise UsageError("method svd needs --vae FILE, made by --method autoencoder, or --start")
    if method not in ("autoencoder", "svd") and start is None:
        raise UsageError(f"method {method} needs --start, the model folder to go on from")
    given: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "learning_rate": learning_rate,
        "seed": seed,
        "precision": precision,
        "workers": workers,
        "checkpoint_every": checkpoint_every,
        "sample_every": sample_every,
        "gradient_checkpointing": gradient_checkpointing or None,
    }
    changes = {k: v for k, v in given.items() if v is not None}
    with progress_bar("data") as report:
        source = open_source(data, fps=fps, progress=lambda n, of: report(n, of, "look at files"))
        training = Training(
            method=method,
            preset=chosen,
            output=output,
            settings=dataclasses.replace(DEFAULTS[method], **changes),
            source=source,
            start=start,
            teacher=teacher or start,
            vae=vae,
            stage=stage,
            cached_clips=cache_clips,
            minutes=max_minutes,
            progress=lambda done, total: report(done, total, "latents"),
        )
        finished = run(training)
    state = "finished" if finished else "stopped at the time limit: run again to resume"
    print(f"{state}; {training.result}")
