"""``mobilevd plan``, how a large UNet is cut into HTP context binaries; ``mobilevd compare``, one
truth for all flavours."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .arguments import Json, ModelSource, PresetName, model_of, preset_of
from .main import app
from .output import progress_bar, table, write_json


@app.command(epilog="Example: mobilevd plan --preset mobilevd-512x256 --precision 16a8w")
def plan(
    preset: PresetName = "mobilevd-512x256",
    precision: Annotated[str, typer.Option(help="fp16, 16a8w or 8a8w.")] = "fp16",
    shard_mb: Annotated[int, typer.Option(min=1, help="Most weights of one context, MiB.")] = 1024,
    json: Json = None,
) -> None:
    """Cut the UNet into shards that HTP's contexts hold: blocks, weights, what crosses borders."""
    import torch

    from ..compress.cross_attention import collapse_cross_attention
    from ..export.flavour import BACKENDS
    from ..export.qnn_shards import plan as make_plan
    from ..models import create_unet

    if precision not in BACKENDS["qnn"]:
        raise UsageError(f"--precision must be one of {', '.join(BACKENDS['qnn'])}")
    chosen = preset_of(preset)
    with torch.device("meta"):
        unet = create_unet(chosen.unet)
        if not unet.config.collapsed_cross_attention:  # as every export does
            unet = collapse_cross_attention(unet)
    rows = make_plan(unet, chosen.latent_size, precision, shard_mb << 20)
    table(
        f"{preset} {precision}: {len(rows)} context binaries of at most {shard_mb} MiB of weights",
        ["shard", "first step", "last step", "steps", "weights MB", "in", "out", "crossing MB"],
        [
            [
                i,
                row.blocks[0],
                row.blocks[-1],
                len(row.blocks),
                f"{row.weight_bytes / 1e6:.0f}",
                len(row.inputs),
                len(row.outputs),
                f"{row.crossing_bytes / 1e6:.1f}",
            ]
            for i, row in enumerate(rows)
        ],
    )
    write_json(json, [{**asdict(row), "crossing_bytes": row.crossing_bytes} for row in rows])


@app.command(epilog="Example: mobilevd compare bundles/mini bundles/mini-qnn --model mini")
def compare(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles of the same model.")],
    model: ModelSource = "mini",
    json: Json = None,
) -> None:
    """The same inputs through bundles and eager PyTorch: stages, and frames after one evaluation.

    QNN's programs run in the HTP emulator: minutes.
    """
    from ..evaluate.flavours import compare as run
    from ..export.lowering import quiet_exporter

    loaded = model_of(model)
    with quiet_exporter(), progress_bar("compare") as report:
        rows = run(loaded, bundles, report)
    table(
        f"{model}: one evaluation at sigma {loaded.preset.sampling.sigma_max:g}",
        ["against eager", "relative L2", "max abs"],
        [
            [row["name"], f"{row['relative_l2']:.2e}", f"{row['max_abs']:.2e}"]
            for row in rows
            if "max_abs" in row
        ],
    )
    table(
        "decoded frames",
        ["flavours", "PSNR dB"],
        [[row["name"], f"{row['psnr_db']:.1f}"] for row in rows if "psnr_db" in row],
    )
    write_json(json, rows)
