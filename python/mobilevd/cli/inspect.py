"""``mobilevd inspect``: what became of each stage, and how far it is from the model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .arguments import BackendLibs, Json, check_model, random_weights
from .main import app
from .output import progress_bar, table, write_json

if TYPE_CHECKING:
    from ..models.parts import Parts


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
    weights: Annotated[
        str | None, typer.Option(help="random:SEED, in place of --model. Default: the bundle's.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Picture for --parity. Default: a photograph.")
    ] = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="Only this stage; repeatable. Default: all.")
    ] = None,
    block: Annotated[
        list[str] | None,
        typer.Option(help="Only this part of the UNet, or none; repeatable. Default: all."),
    ] = None,
    max_relative_l2: Annotated[
        float | None, typer.Option(help="Fail above this. Default: by precision, 5e-4 for fp32.")
    ] = None,
    backend_lib: BackendLibs = None,
    json: Json = None,
) -> None:
    """What became of each stage: partitions, ops left on the CPU, borders, weights, arenas.

    With --parity, each block of the UNet is lowered alone and run on the inputs of a real clip, and
    each stage as the bundle has it; exit code 1 names the first one that gives NaN, or else the
    first over the limit. One network is in memory at a time.
    """
    from ..export.manifest import read_bundle

    only_parity = {
        "--model": model,
        "--weights": weights,
        "--image": image,
        "--stage": stage or None,
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
    if model is not None and weights is not None:
        raise UsageError("give --model or --weights, not both")
    manifest = read_bundle(bundle)
    for name in stage or ():
        if name not in manifest["stages"]:
            raise UsageError(f"no stage {name}; the bundle has {', '.join(manifest['stages'])}")
    over = None
    if parity:
        from ..evaluate.programs import prepare_runtime

        prepare_runtime(manifest["backend"], backend_lib or [])
        over = _measure(
            bundle,
            manifest,
            _exported(manifest, model, weights),
            image,
            limit=max_relative_l2,
            stages=stage or list(manifest["stages"]),
            only=None if block == ["none"] else block or (),
        )
    _print(manifest)
    write_json(json, manifest)
    if html is not None:
        from ..export.page import write_page

        write_page(html, manifest, bundle.resolve().name)
    if over is not None:
        raise RuntimeError(over)


def _exported(manifest: dict[str, Any], model: str | None, weights: str | None) -> Parts:
    """What the bundle was made of: what is given, what it says itself, or the shipped weights."""
    from ..models.parts import open_model

    weights = weights or (None if model else manifest.get("weights"))
    if weights:
        return random_weights(manifest["preset"], weights)
    source = model or manifest["preset"]
    check_model(source)
    return open_model(source)


def _measure(
    bundle: Path,
    manifest: dict[str, Any],
    model: Parts,
    image: Path | None,
    **options: Any,
) -> str | None:
    """Puts ``parity`` into the stages; the line about the first block over the limit."""
    from PIL import Image

    from ..evaluate.parity import first_over, measure_parity
    from ..runtime import picture_as_seen

    if image is None:
        from ..training.data.photographs import HELD_OUT, package_file

        image = package_file(*HELD_OUT[0])
    height, width = model.preset.size
    picture = Image.fromarray(picture_as_seen(image, height, width))
    with progress_bar("parity") as report:
        rows = measure_parity(bundle, manifest, model, picture, progress=report, **options)
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
