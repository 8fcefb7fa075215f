"""The sub-command that exports models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .arguments import Json, ModelSource, model_of
from .main import app
from .output import progress_bar, write_json


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
