"""``mobilevd train``: one run of one method."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .arguments import Json, PresetName, allow_only, preset_of
from .main import app
from .output import progress_bar, table, write_json

if TYPE_CHECKING:
    from ..presets import Preset
    from ..training.recipe_file import RecipeFile


# What goes with --config; all else is in the file.
BESIDE_CONFIG = {
    "config", "output", "start", "teacher", "vae", "max_minutes", "dry_run", "gpu", "json"
}  # fmt: skip


@app.command(
    epilog="Example: mobilevd train --preset mini --method autoencoder -o runs/vae && "
    "mobilevd train --preset mini --vae runs/vae/vae.safetensors -o runs/svd"
)
def train(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Run folder; resumed if there.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file as those in configs/: the whole run, in which only --start and "
            "--teacher replace something."
        ),
    ] = None,
    preset: PresetName = "mini",
    method: Annotated[
        str,
        typer.Option(help="autoencoder, decoder, svd, animatelcm, ufogen, ladd, sfv or mobilevd."),
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
    precision: Annotated[
        str | None, typer.Option(help="fp32, or bf16 (autocast) where the hardware has it.")
    ] = None,
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, FLOPs, memory and hours; run none.")
    ] = False,
    gpu: Annotated[str, typer.Option(help="Of the dry run's hours: a100 or h100.")] = "a100",
    json: Json = None,
) -> None:
    """Train a model; run the same command again to resume.

    Several GPUs or processes: accelerate launch -m mobilevd train ...; the losses are the same.
    """
    chosen = preset_of(preset)
    from ..training.recipe_file import read_recipe

    if config is not None:
        allow_only(context, BESIDE_CONFIG, f"is what {config} says: change it")
        recipe = read_recipe(config)
    else:
        flags: dict[str, Any] = {
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
        changes = {k: v for k, v in flags.items() if v is not None}
        section = {"source": data, "fps": fps, "cached_clips": cache_clips}
        recipe = _recipe_of_flags(method, stage, chosen, changes, section)
    recipe = dataclasses.replace(
        recipe,
        start=start or recipe.start,
        teacher=teacher or recipe.teacher or start or recipe.start,
    )
    if dry_run:
        _print_budget(recipe, gpu, json)
        return
    if json is not None:
        raise UsageError("--json goes with --dry-run")
    if output is None:
        raise UsageError("give the run's folder: -o FOLDER")
    print(_run(recipe, output, vae, max_minutes))


def _recipe_of_flags(
    method: str,
    stage: str | None,
    preset: Preset,
    changes: dict[str, Any],
    section: dict[str, Any],
) -> RecipeFile:
    """The run that the flags describe, on the defaults for `mini`."""
    from ..training.methods.mobilevd_options import STAGES
    from ..training.recipe_file import (
        CONSTANTS,
        MINI_CONSTANTS,
        RATE,
        BatchSection,
        DataSection,
        RecipeFile,
    )
    from ..training.settings import PRECISIONS
    from ..training.train import DEFAULTS, METHODS

    if method not in METHODS:
        raise UsageError(f"unknown method '{method}'; known: {', '.join(METHODS)}")
    if changes.get("precision") not in (None, *PRECISIONS):
        raise UsageError(
            f"--precision must be {' or '.join(PRECISIONS)}, not {changes['precision']}"
        )
    if method == "mobilevd" and stage not in STAGES:
        raise UsageError(f"method mobilevd needs --stage, one of: {', '.join(STAGES)}")
    if method != "mobilevd" and stage is not None:
        raise UsageError(f"--stage goes with --method mobilevd, not {method}")
    settings = dataclasses.replace(DEFAULTS[method], **changes)
    constants = None
    if method in CONSTANTS:
        small = preset.name in ("mini", "mini-hd")
        constants = MINI_CONSTANTS[method] if small else CONSTANTS[method]()
    if constants and "learning_rate" in changes:  # the game's players have rates of their own
        rate = {RATE[type(constants)]: changes["learning_rate"]}
        constants = dataclasses.replace(constants, **rate)
    per_gpu = settings.micro_batch or settings.batch_size
    return RecipeFile(
        Path(method),
        method,
        preset,
        DataSection(**section),
        BatchSection(1, per_gpu, -(-settings.batch_size // per_gpu)),
        settings,
        stage,
        constants=constants,
    )


def _print_budget(recipe: RecipeFile, gpu: str, json: Path | None) -> None:
    from ..training.budget import budget, budget_rows

    if recipe.method in ("autoencoder", "decoder"):
        raise UsageError(f"--dry-run counts the methods that train a UNet, not the {recipe.method}")
    figures = budget(recipe, gpu)
    table(f"{recipe.path}: nothing was run", ["what", "value"], budget_rows(figures))
    write_json(json, [figures])


def _run(recipe: RecipeFile, output: Path, vae: Path | None, minutes: float | None) -> str:
    from ..training.data.sources import open_source
    from ..training.train import Training, train

    method = recipe.method
    if method == "svd" and recipe.start is None and (vae is None or not vae.is_file()):
        raise UsageError("method svd needs --vae FILE, made by --method autoencoder, or --start")
    if method not in ("autoencoder", "svd") and recipe.start is None:
        raise UsageError(f"method {method} needs --start, the model folder to go on from")
    for flag, folder in (("start", recipe.start), ("teacher", recipe.teacher)):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"--{flag} {folder}: no such folder")
    with progress_bar("data") as report:
        source = open_source(
            recipe.data.source,
            recipe.data.split,
            recipe.data.fps,
            lambda done, total: report(done, total, "look at files"),
        )
        training = Training(
            method=method,
            preset=recipe.preset,
            output=output,
            settings=recipe.settings,
            source=source,
            start=recipe.start,
            teacher=recipe.teacher,
            vae=vae,
            stage=recipe.stage,
            options=recipe.options,
            constants=recipe.constants,
            cached_clips=recipe.data.cached_clips,
            minutes=minutes,
            progress=lambda done, total: report(done, total, "latents"),
        )
        finished = train(training)
    state = "finished" if finished else "stopped at the time limit: run again to resume"
    return f"{state}; {training.result}"
