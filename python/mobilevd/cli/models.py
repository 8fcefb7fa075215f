"""The sub-command that exports models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .arguments import Json, ModelSource, check_model, exclude, random_weights
from .main import app
from .output import progress_bar, table, write_json


@app.command(epilog="Example: mobilevd export --model mini -o bundles/mini")
def export(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="Bundle folder to write.")],
    model: ModelSource = "mini",
    preset: Annotated[str | None, typer.Option(help="With --weights: what to export.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="random:SEED, for --preset; others: mobilevd compress.")
    ] = None,
    backend: Annotated[str, typer.Option(help="xnnpack, vulkan or qnn.")] = "xnnpack",
    precision: Annotated[
        str,
        typer.Option(help="xnnpack: fp32, fp16, int8; vulkan: fp32, fp16; qnn: fp16, 16a8w, 8a8w"),
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
    from ..models.parts import open_model

    try:
        flavour = Flavour(backend, precision, soc, texture_limit)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if preset is None and weights is None:
        check_model(model)
        loaded = open_model(model)
    else:
        if preset is None or weights is None:
            raise UsageError("--preset and --weights go together, in place of --model")
        exclude(context, "model", "does not go with --preset and --weights")
        loaded = random_weights(preset, weights)
    with progress_bar("export") as report:
        manifest = export_bundle(
            loaded,
            output,
            flavour,
            lambda stage: report(STAGES.index(stage), len(STAGES), stage),
        )
    size = sum(f["bytes"] for f in manifest["files"].values()) / 1e6
    columns = ("weight_bytes", "arena_bytes", "workspace_bytes")
    table(
        f"{output}: {len(manifest['stages'])} stages, {size:.1f} MB",
        ["stage", "weights MB", "planned arena MB", "delegates' workspace MB", "delegates"],
        [
            [name, *(f"{stage[c] / 1e6:.1f}" for c in columns), stage["partitions"]]
            for name, stage in manifest["stages"].items()
        ],
    )
    write_json(json, manifest)
