"""``mobilevd evaluate``: held-out losses, or distances of a model's clips from real ones;
``mobilevd train-features``: the network whose features the distance is taken on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .arguments import Json, ModelSource, allow_only, check_device, model_of
from .main import app
from .output import progress_bar, table, write_json


@app.command(
    epilog="Example: mobilevd evaluate --model mini --json figures.json && "
    "mobilevd evaluate --model mini --distance --clips 64 --steps 8 --sheet clips.png"
)
def evaluate(
    context: typer.Context,
    model: ModelSource = "mini",
    distance: Annotated[
        bool, typer.Option("--distance", help="Make clips and compare them with real ones.")
    ] = False,
    clips: Annotated[
        int | None,
        typer.Option(min=1, help="Default: 64 for the loss; 1024 for distances, 2048 for FVD."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Sampling steps; default: the model's.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="I3D as TorchScript (.pt) or torch.export (.pt2): the real FVD."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="With --features: digits, ucf101:PATH, folder:PATH or shards:PATH."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Of videos: 7 (default) or 25 in the papers.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where clips are made: cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of pictures, real clips and noise.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips made at once.")] = 8,
    work: Annotated[
        Path, typer.Option(help="Where it is kept how far it came; the same again goes on.")
    ] = Path("runs/evaluate"),
    sheet: Annotated[Path | None, typer.Option(help="PNG of some clips, with real ones.")] = None,
    json: Json = None,
) -> None:
    """Held-out figures: the autoencoder's PSNR and the denoiser's loss by noise level; with
    --distance, how far the model's clips are from real ones: Fréchet digits distance, motion, the
    first frame's PSNR. Those take steps x clips evaluations: hours on a CPU for many of both."""
    if not distance:
        allow_only(context, {"model", "clips", "json"}, "goes with --distance")
        from ..training.held_out import evaluate_model

        rows = evaluate_model(model_of(model), clips or 64)
        table("held out", ["figure", "value"], [[r["name"], f"{r['value']:.4f}"] for r in rows])
        write_json(json, rows)
        return
    if clips is not None and clips < 2:
        raise UsageError("--distance needs at least 2 clips")
    if features is None and data not in (None, "digits"):
        raise UsageError("--data goes with --features: the digits' distance is of moving digits")
    check_device(device)
    loaded = model_of(model)
    height, width = loaded.preset.size
    if data in (None, "digits") and height != width:
        raise UsageError(
            f"{model} makes clips of {width}x{height}, and moving digits are square: give "
            "--features and --data ucf101:PATH, folder:PATH or shards:PATH"
        )
    from ..evaluate.i3d import CLIPS as FVD_CLIPS
    from ..evaluate.i3d import I3dFeatures
    from ..evaluate.measure import CLIPS, measure
    from ..training.data.sources import open_source

    extract = None if features is None else I3dFeatures(features, device)
    source = open_source(data or "digits", "test", fps)
    loaded.to(device)
    with progress_bar("evaluate") as report:
        row = measure(
            loaded,
            clips or (CLIPS if extract is None else FVD_CLIPS),
            work,
            seed=seed,
            steps=steps,
            extract=extract,
            source=source,
            batch_size=batch_size,
            sheet=sheet,
            progress=report,
        )
    table(f"{model}: {row['clips']} clips", ["figure", "value"], _shown(row))
    write_json(json, [row])


def _shown(row: dict[str, Any]) -> list[list[str]]:
    def text(value: Any) -> str:
        if isinstance(value, list):
            return " to ".join(map(text, value))
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    return [[key, text(v)] for key, v in row.items() if not isinstance(v, dict)]


@app.command(epilog="Example: mobilevd train-features -o runs/features")
def train_features(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    steps: Annotated[int | None, typer.Option(min=40)] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json: Json = None,
) -> None:
    """Train the network that the Fréchet digits distance takes its features from: ten minutes."""
    import dataclasses

    from ..evaluate.features.train import Training
    from ..evaluate.features.train import train_features as run

    training = Training(seed=seed)
    if steps is not None:
        training = dataclasses.replace(training, steps=steps)
    with progress_bar("train features") as report:
        record = run(output, training, report)
    held_out = record["held_out"]
    table("held out", ["figure", "value"], [[k, f"{v:.3f}"] for k, v in held_out.items()])
    write_json(json, [{"name": record["name"], **held_out}])
