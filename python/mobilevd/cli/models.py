"""The sub-commands that train and export models."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .arguments import Json, ModelSource, PresetName, model_of, preset_of
from .main import app
from .output import progress_bar, write_json


@app.command(
    epilog="Example: mobilevd train --preset mini --method autoencoder -o runs/vae && "
    "mobilevd train --preset mini --vae runs/vae/vae.safetensors -o runs/svd"
)
def train(
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder; resumed if there.")],
    preset: PresetName = "mini",
    method: Annotated[str, typer.Option(help="svd or autoencoder.")] = "svd",
    vae: Annotated[Path | None, typer.Option(help="Trained autoencoder, for svd.")] = None,
    steps: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16 (autocast).")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop then; run again to go on.")
    ] = None,
) -> None:
    """Train a model; run the same command again to resume."""
    preset_of(preset)
    from ..training.train import DEFAULTS
    from ..training.train import train as run

    if method not in DEFAULTS:
        raise UsageError(f"unknown method '{method}'; known: {', '.join(DEFAULTS)}")
    if precision not in (None, "fp32", "bf16"):
        raise UsageError(f"--precision must be fp32 or bf16, not {precision}")
    if method == "svd" and (vae is None or not vae.is_file()):
        raise UsageError("method svd needs --vae FILE, made by --method autoencoder")
    given: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "precision": precision,
    }
    changes = {k: v for k, v in given.items() if v is not None}
    settings = dataclasses.replace(DEFAULTS[method], **changes)
    print(run(method, preset, output, settings, max_minutes, vae))


@app.command(epilog="Example: mobilevd export --model mini -o bundles/mini")
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="Bundle folder to write.")],
    model: ModelSource = "mini",
    backend: Annotated[str, typer.Option(help="xnnpack, vulkan or qnn.")] = "xnnpack",
    precision: Annotated[
        str, typer.Option(help="fp32; vulkan: fp16 too; qnn: fp16, 16a8w or 8a8w.")
    ] = "fp32",
    texture_limit: Annotated[
        int | None,
        typer.Option(help="vulkan: widest 3-D texture, 2048 (default: any device), 4096 or 16384."),
    ] = None,
    soc: Annotated[str | None, typer.Option(help="qnn: Qualcomm's chip, as SM8650.")] = None,
    json: Json = None,
) -> None:
    """Lower every stage and write a bundle."""
    from ..export.bundle import export_bundle
    from ..export.flavour import Flavour
    from ..export.stages import STAGES

    try:
        flavour = Flavour(backend, precision, soc, texture_limit)
    except ValueError as error:
        raise UsageError(str(error)) from None
    loaded = model_of(model)
    with progress_bar("export") as report:
        manifest = export_bundle(
            loaded,
            output,
            flavour,
            lambda stage: report(STAGES.index(stage), len(STAGES), stage),
        )
    size = sum(f["bytes"] for f in manifest["files"].values()) / 1e6
    print(f"{output}: {len(manifest['stages'])} stages, {size:.1f} MB")
    write_json(json, manifest)
