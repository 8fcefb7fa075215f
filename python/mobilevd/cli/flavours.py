"""``mobilevd plan``, how a large UNet is cut into HTP context binaries; ``mobilevd compare``, one
truth for all flavours."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..presets import Preset
from .arguments import (
    BackendLibs,
    Json,
    ModelSource,
    PresetName,
    Threads,
    at_least,
    model_of,
    preset_of,
)
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


@app.command(
    epilog="Example: mobilevd compare bundles/mini bundles/mini-int8 --model mini --clips 9"
)
def compare(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles of the same model.")],
    model: ModelSource = "mini",
    clips: Annotated[
        int, typer.Option(help="Also make clips of so many held-out pictures with each bundle.")
    ] = 0,
    repeat: Annotated[
        int | None,
        typer.Option(help="Times a clip is made in a process (default 4); from 2 on stages stay."),
    ] = None,
    stages: Annotated[
        bool, typer.Option(help="--no-stages: clips alone, without the model's weights.")
    ] = True,
    threads: Threads = None,
    backend_lib: BackendLibs = None,
    json: Json = None,
) -> None:
    """The same inputs through bundles and eager PyTorch: stages, and frames after one evaluation.

    With --clips, whole clips by the runner, bundle after bundle in turns: size, time, memory, and
    PSNR and SSIM against the first bundle's frames. QNN's programs run in the HTP emulator:
    minutes.
    """
    from ..evaluate.flavours import compare as run
    from ..evaluate.flavours import name_of
    from ..export.lowering import quiet_exporter
    from ..export.manifest import read_bundle

    at_least("--clips", clips, 0)
    at_least("--threads", threads, 1)
    at_least("--repeat", repeat, 1)
    for flag, value in (("--threads", threads), ("--repeat", repeat), ("--no-stages", not stages)):
        if value and not clips:
            raise UsageError(f"{flag} goes with --clips")
    manifests = [read_bundle(bundle) for bundle in bundles]
    names = {name_of(m): bundle for m, bundle in zip(manifests, bundles, strict=True)}
    shapes = manifests[0]["shapes"]
    if any(manifest["shapes"] != shapes for manifest in manifests):
        raise UsageError("bundles of clips of different sizes")
    if len(names) < len(bundles):
        raise UsageError(f"two bundles of one flavour: each is to be another of {', '.join(names)}")
    rows = []
    if stages:
        loaded = model_of(model)
        with quiet_exporter(), progress_bar("compare") as report:
            rows = run(loaded, bundles, report, backend_lib or ())
        _print_stages(model, loaded.preset, rows)
    if clips:
        from ..evaluate.clip_runs import REPEAT, compare_clips
        from ..export.calibration import pictures

        side = max(shapes["height"], shapes["width"])
        drawn = pictures(side, shapes["frames"], clips, split="test")
        with progress_bar("clips") as report:
            made = compare_clips(names, drawn, threads, report, repeat or REPEAT, backend_lib or ())
        _print_clips(made)
        rows += made
    write_json(json, rows)


def _print_stages(model: str, preset: Preset, rows: list[dict[str, Any]]) -> None:
    table(
        f"{model}: one evaluation at sigma {preset.sampling.sigma_max:g}",
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


def _print_clips(rows: list[dict[str, Any]]) -> None:
    table(
        f"{rows[0]['clips']} pictures each, {rows[0]['threads']} threads: medians; frames against "
        f"{rows[0]['name']}'s",
        ["flavour", "MB", "of first", "CPU ms", "of first", "clip ms", "UNet ms", "peak MB",
         "PSNR dB", "worst", "SSIM", "worst"],
        [
            [
                row["name"],
                f"{row['file_mb']:.2f}",
                f"{row['file_share']:.3f}",
                f"{row['cpu_ms']:.0f}",
                f"{row['cpu_share']:.2f}",
                f"{row['clip_ms']:.0f}",
                f"{row['unet_ms']:.0f}",
                f"{row['peak_rss_mb']:.0f}",
                f"{row['psnr_db']:.1f}",
                f"{row['psnr_db_worst']:.1f}",
                f"{row['ssim']:.4f}",
                f"{row['ssim_worst']:.4f}",
            ]
            for row in rows
        ],
    )  # fmt: skip
    stages = list(rows[0]["stage_file_mb"])
    table(
        "by stage: MB on the disk, ms a clip",
        ["flavour", *stages],
        [
            [
                row["name"],
                *(f"{row['stage_file_mb'][s]:.2f}, {row['stage_ms'][s]:.0f}" for s in stages),
            ]
            for row in rows
        ],
    )
