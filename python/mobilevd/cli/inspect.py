"""``mobilevd inspect``: what became of each stage, and how far it is from the model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .arguments import BackendLibs, Json, model_of
from .main import app
from .output import progress_bar, table, write_json


@app.command(
    epilog="Example: mobilevd inspect bundles/mini --parity --model mini --html report.html"
)
def inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    html: Annotated[Path | None, typer.Option(help="Also write one page with plots.")] = None,
    parity: Annotated[
        bool, typer.Option("--parity", help="Run stages and blocks against the model.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="What was exported. Default: the bundle's preset.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Picture for --parity. Default: a photograph.")
    ] = None,
    block: Annotated[
        list[str] | None, typer.Option(help="Only this part of the UNet; repeatable. Default: all.")
    ] = None,
    max_relative_l2: Annotated[
        float | None, typer.Option(help="Fail above this. Default: by precision, 5e-4 for fp32.")
    ] = None,
    backend_lib: BackendLibs = None,
    json: Json = None,
) -> None:
    """What became of each stage: partitions, ops left on the CPU, borders, weights, arenas.

    With --parity, each block of the UNet is lowered alone and run on the inputs of a real clip, and
    each stage as the bundle has it; exit code 1 names the first block over the limit.
    """
    from ..export.manifest import read_bundle

    only_parity = {
        "--model": model,
        "--image": image,
        "--block": block or None,
        "--max-relative-l2": max_relative_l2,
        "--backend-lib": backend_lib or None,
    }
    for flag, value in only_parity.items():
        if value is not None and not parity:
            raise UsageError(f"{flag} goes with --parity")
    if max_relative_l2 is not None and not max_relative_l2 > 0:
        raise UsageError(f"--max-relative-l2 must be above 0, not {max_relative_l2}")
    if image is not None and not image.is_file():
        raise UsageError(f"no picture {image}")
    manifest = read_bundle(bundle)
    over = None
    if parity:
        from ..evaluate.programs import prepare_runtime

        prepare_runtime(manifest["backend"], backend_lib or [])
        over = _measure(bundle, manifest, model, image, max_relative_l2, block or [])
    _print(manifest)
    write_json(json, manifest)
    if html is not None:
        from ..export.page import write_page

        write_page(html, manifest, bundle.resolve().name)
    if over is not None:
        raise RuntimeError(over)


def _measure(
    bundle: Path,
    manifest: dict[str, Any],
    model: str | None,
    image: Path | None,
    limit: float | None,
    blocks: list[str],
) -> str | None:
    """Puts ``parity`` into the stages; the line about the first block over the limit."""
    from PIL import Image

    from ..evaluate.parity import first_over, measure_parity
    from ..runtime import picture_as_seen

    loaded = model_of(model or manifest["preset"])
    if image is None:
        from ..training.data.photographs import HELD_OUT, package_file

        image = package_file(*HELD_OUT[0])
    height, width = loaded.preset.height, loaded.preset.width
    picture = Image.fromarray(picture_as_seen(image, height, width))
    with progress_bar("parity") as report:
        rows = measure_parity(bundle, manifest, loaded, picture, limit, blocks, report)
    for name, entries in rows.items():
        manifest["stages"][name]["parity"] = entries
    return first_over(rows)


def _print(manifest: dict[str, Any]) -> None:
    stages = manifest["stages"]
    for name, stage in stages.items():
        if stage.get("cpu_ops"):
            table(
                f"{name}: left on the CPU",
                ["op", "ops", "module", "why"],
                [
                    [op["op"], op["count"], op["module"] or "the stage itself", op["reason"]]
                    for op in stage["cpu_ops"]
                ],
            )
        if stage.get("parity"):
            _print_parity(name, stage["parity"])
    table(
        f"{manifest['preset']} {manifest['backend']} {manifest['precision']}",
        [
            "stage",
            "partitions",
            "CPU ops",
            "delegated, by ops",
            "by FLOPs",
            "FLOPs",
            "across borders",
            "weights",
            "arena",
            "workspace",
        ],
        [_row(name, stage) for name, stage in stages.items()],
    )
    for name, stage in stages.items():
        counts: Counter[tuple[str, str]] = Counter()
        for op in stage.get("cpu_ops", ()):
            counts[op["op"], op["reason"]] += op["count"]
        for (op, reason), n in counts.most_common():
            print(f"{name}: {n} x {op}: {reason}")
    if any("delegated_share_flops" not in stage for stage in stages.values()):
        print("–: not recorded by the mobilevd that exported this; export it again to have it")


def _print_parity(name: str, rows: list[dict[str, Any]]) -> None:
    def cells(row: dict[str, Any]) -> list[str]:
        if row["non_finite"]:
            return ["-", "NaN or infinite", "-", "-"]
        return [
            f"{row['cosine']:.7f}",
            f"{row['relative_l2']:.1e}",
            f"{row['max_abs']:.1e}",
            f"{row['psnr_db']:.1f}",
        ]

    table(
        f"{name}: parity with the model in eager float32",
        ["block", "cosine", "relative L2", "max abs", "PSNR dB", ""],
        [[row["block"], *cells(row), "" if row["ok"] else "OVER"] for row in rows],
    )


def _row(name: str, stage: dict[str, Any]) -> list[str]:
    from ..page.units import count, share, size

    weights = stage.get("weights_by_dtype", {})
    flops = stage["delegated_flops"] + stage["cpu_flops"] if "cpu_flops" in stage else None
    return [
        name,
        str(stage.get("partitions", "–")),
        str(sum(op["count"] for op in stage["cpu_ops"])) if "cpu_ops" in stage else "–",
        share(stage.get("delegated_share_ops")),
        share(stage.get("delegated_share_flops")),
        count(flops),
        size(stage.get("border_bytes")),
        ", ".join(f"{size(n)} {dtype}" for dtype, n in weights.items())
        or size(stage.get("weight_bytes")),
        size(stage.get("arena_bytes")),
        size(stage.get("workspace_bytes")),
    ]
