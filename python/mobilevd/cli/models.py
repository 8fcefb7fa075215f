"""The sub-commands that make models: train, compress, export, flops, evaluate."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..presets import PRESETS, Preset
from .main import UsageError, app
from .output import progress_bar, table, write_json

if TYPE_CHECKING:  # torch is slow to import: only commands that need it do
    from ..models.store import Model

PresetName = Annotated[str, typer.Option(help=f"One of: {', '.join(PRESETS)}.")]
ModelSource = Annotated[str, typer.Option(help="A model folder, or a preset whose weights ship.")]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")]


def _preset(name: str) -> Preset:
    from ..presets import get_preset

    try:
        return get_preset(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _model(source: str) -> Model:
    """A model, with an unknown preset as a usage error."""
    from ..models.store import load_model

    if not Path(source).is_dir():
        _preset(source)
    return load_model(source)


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
    _preset(preset)
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


@app.command(
    epilog="Example: mobilevd compress --model mini -o runs/mini-collapsed && "
    "mobilevd compress --weights SVD_FOLDER --preset svd-512x256 -o runs/svd"
)
def compress(
    output: Annotated[Path, typer.Option("-o", "--output", help="Model folder to write.")],
    model: ModelSource = "mini",
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from this diffusers folder of Stable Video Diffusion instead."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="With --weights: the clip's size and sampling.")
    ] = None,
    tiny_vae: Annotated[
        Path | None,
        typer.Option(help="With --weights: an AutoencoderTiny folder (TAESD), for its decoder."),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="With --weights: fp16 for the half-precision files.")
    ] = None,
) -> None:
    """Make a model smaller: the steps that lead to --preset, or the lossless one.

    Pretrained weights need finetuning after the steps that are not lossless (multiscaling,
    pruning, funnels); so far the training command has SVD's objective only.
    """
    if weights is None and any(v is not None for v in (preset, tiny_vae, variant)):
        raise UsageError("--preset, --tiny-vae and --variant go with --weights")
    if weights is not None and preset is None:
        raise UsageError(f"--weights needs --preset, one of: {', '.join(PRESETS)}")
    target = None if preset is None else _preset(preset)
    from ..compress.cross_attention import collapse_cross_attention
    from ..compress.recipe import compress_to
    from ..models.diffusers_folder import read_pipeline
    from ..models.store import save_model

    if weights is not None and target is not None:
        loaded = read_pipeline(weights, target, tiny_vae=tiny_vae, variant=variant)
    else:
        loaded = _model(model)
    before = sum(p.numel() for p in loaded.unet.parameters())
    if target is not None and target.unet.temporal_factor > 1:  # one of the MobileVD family
        loaded.unet = compress_to(loaded.unet, target.unet)
    else:
        loaded.unet = collapse_cross_attention(loaded.unet)
    loaded.preset = dataclasses.replace(loaded.preset, unet=loaded.unet.config)
    save_model(loaded, output)
    after = sum(p.numel() for p in loaded.unet.parameters())
    print(f"{before / 1e6:.2f} -> {after / 1e6:.2f} M parameters; {output}")


@app.command(epilog="Example: mobilevd export --model mini -o bundles/mini")
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="Bundle folder to write.")],
    model: ModelSource = "mini",
    backend: Annotated[str, typer.Option(help="xnnpack")] = "xnnpack",
    precision: Annotated[str, typer.Option(help="fp32")] = "fp32",
    json: Json = None,
) -> None:
    """Lower every stage and write a bundle."""
    from ..export.bundle import BACKENDS, export_bundle
    from ..export.stages import STAGES

    if backend not in BACKENDS or precision not in BACKENDS[backend]:
        known = ", ".join(
            f"--backend {b} --precision {p}" for b, ps in BACKENDS.items() for p in ps
        )
        raise UsageError(f"no flavour {backend} {precision}; there are: {known}")
    loaded = _model(model)
    with progress_bar("export") as report:
        manifest = export_bundle(
            loaded,
            output,
            backend,
            precision,
            lambda stage: report(STAGES.index(stage), len(STAGES), stage),
        )
    size = sum(f["bytes"] for f in manifest["files"].values()) / 1e6
    print(f"{output}: {len(manifest['stages'])} stages, {size:.1f} MB")
    write_json(json, manifest)


@app.command(epilog="Example: mobilevd evaluate --model mini --json figures.json")
def evaluate(
    model: ModelSource = "mini",
    clips: Annotated[int, typer.Option(min=1, help="Held-out clips for the loss.")] = 64,
    json: Json = None,
) -> None:
    """Held-out figures: the autoencoder's PSNR and the denoiser's loss by noise level."""
    from ..evaluate.held_out import evaluate_model

    rows = evaluate_model(_model(model), clips)
    table("held out", ["figure", "value"], [[r["name"], f"{r['value']:.4f}"] for r in rows])
    write_json(json, rows)
