"""``mobilevd pack-shards``: training data for more than one machine's disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .arguments import Json
from .main import app
from .output import progress_bar, write_json


@app.command("pack-shards", epilog="Example: mobilevd pack-shards videos/ -o shards/")
def pack_shards(
    folder: Annotated[Path, typer.Argument(help="Videos at any depth, or cached latents.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A new folder, or to go on in.")],
    shard_mb: Annotated[float, typer.Option(help="A shard's size, 10^6 bytes.")] = 256.0,
    json: Json = None,
) -> None:
    """Pack a folder of videos or of cached latents into WebDataset shards."""
    if not shard_mb > 0:
        raise UsageError(f"--shard-mb must be above 0, not {shard_mb:g}")
    from ..training.data.pack_shards import pack_shards as pack

    with progress_bar("pack") as report:
        figures = pack(folder, output, shard_mb, report)
    unreadable = figures["unreadable"]
    assert isinstance(unreadable, dict)
    skipped = ", ".join(f"{name} ({why})" for name, why in list(unreadable.items())[:3])
    print(
        f"{output}: {figures['samples']} {figures['kind']} in {figures['shards']} shards, "
        f"{figures['written']} written now"
        + (f"; skipped {len(unreadable)} unreadable: {skipped}" if unreadable else "")
    )
    write_json(json, figures)
