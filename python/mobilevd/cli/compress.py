"""``mobilevd compress``: a model, or SVD's folder, through the steps to a smaller model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..models.config import TEMPORAL_OPERATORS, UNetConfig
from ..models.plan import LAYERS
from ..models.steps import Steps
from ..presets import PRESETS, Preset
from .arguments import Json, ModelSource, exclude, model_of, preset_of
from .main import app
from .output import progress_bar, write_json

OPERATORS = (*TEMPORAL_OPERATORS, "none")
PRECISIONS = ("fp32", "fp16")


@app.command(
    epilog="Example: mobilevd compress --model mini --temporal-blocks 5 -o runs/mini-5 && "
    "mobilevd compress --weights SVD_FOLDER --preset mobilevd-512x256 -o runs/mobilevd"
)
def compress(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="Model folder to write.")],
    model: ModelSource = "mini",
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from this diffusers folder of Stable Video Diffusion instead."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="With --weights: the clip's size, its sampling, and the steps to take."),
    ] = None,
    tiny_vae: Annotated[
        Path | None,
        typer.Option(help="With --weights: an AutoencoderTiny folder (TAESD), for its decoder."),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="With --weights: fp16 for the half-precision files.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Of a clip; default: as it was.")
    ] = None,
    temporal_multiscaling: Annotated[
        str | None, typer.Option(help=f"How frames are halved inside: {', '.join(OPERATORS)}.")
    ] = None,
    spatial_multiscaling: Annotated[
        bool | None, typer.Option(help="Half the rows and columns inside, too.")
    ] = None,
    temporal_blocks: Annotated[
        int | None,
        typer.Option(help="How many survive (0 to SVD's 38); which ones is fitted to the paper."),
    ] = None,
    fun_factor: Annotated[
        float | None, typer.Option(help="Share of the channels that funnels leave, in (0, 1].")
    ] = None,
    funnels: Annotated[
        str | None,
        typer.Option(help=f"With --fun-factor: where, of {','.join(LAYERS)}; default spatial."),
    ] = None,
    funnel_init: Annotated[
        str, typer.Option(help="First values: coupled, truncated or he.")
    ] = "coupled",
    unmerged: Annotated[
        bool, typer.Option(help="Keep funnels beside the full weights, to train them.")
    ] = False,
    precision: Annotated[str, typer.Option(help="Of the weights written: fp32 or fp16.")] = "fp32",
    json: Json = None,
) -> None:
    """Make a model smaller: the steps of --preset, or those given one by one.

    Cross-attention is always collapsed, which loses nothing. Steps given replace the preset's.
    Multiscaling, pruning and funnels need finetuning afterwards: mobilevd train --method mobilevd,
    whose stages make these changes themselves.
    """
    if weights is None and any(v is not None for v in (preset, tiny_vae, variant)):
        raise UsageError("--preset, --tiny-vae and --variant go with --weights")
    if weights is not None:
        exclude(context, "model", "does not go with --weights")
    if weights is not None and preset is None:
        raise UsageError(f"--weights needs --preset, one of: {', '.join(PRESETS)}")
    _one_of("--temporal-multiscaling", temporal_multiscaling, OPERATORS)
    _one_of("--precision", precision, PRECISIONS)
    if funnels is not None and fun_factor is None:
        raise UsageError("--funnels needs --fun-factor")
    target = None if preset is None else preset_of(preset)
    given = {
        "temporal_operator": temporal_multiscaling,
        "spatial_multiscaling": spatial_multiscaling,
        "temporal_blocks": temporal_blocks,
        "fun_factors": fun_factor,
        "funnel_layers": tuple(funnels.split(",")) if funnels else None,
    }
    steps = _steps(target, given, unmerged)

    import torch

    from ..compress.coupled import INITIALISATIONS
    from ..compress.recipe import compress_to
    from ..models.diffusers_folder import read_pipeline, read_unet_config
    from ..models.store import check_model_folder, save_model, to_half

    _one_of("--funnel-init", funnel_init, tuple(INITIALISATIONS))
    check_model_folder(output)
    with progress_bar("compress") as report:
        if weights is not None and target is not None:
            # Laid out before the weights are read: SVD's take minutes.
            start = read_unet_config(weights, frames or target.unet.num_frames)
            wanted = _laid_out(steps, start, start.num_frames, target)
            loaded = read_pipeline(
                weights,
                dataclasses.replace(target, unet=start),
                tiny_vae=tiny_vae,
                variant=variant,
                progress=report,
            )
        else:
            loaded = model_of(model)
            start = loaded.preset.unet
            wanted = _laid_out(steps, start, frames or start.num_frames, loaded.preset)
        torch.manual_seed(0)  # He's initialisation draws
        before = sum(p.numel() for p in loaded.unet.parameters())
        loaded.unet = compress_to(loaded.unet, wanted, funnel_init, report)
        loaded.preset = dataclasses.replace(loaded.preset, unet=wanted)
        if precision == "fp16":
            for network in loaded.networks().values():
                to_half(network)
        save_model(loaded, output, progress=report)
    after = sum(p.numel() for p in loaded.unet.parameters())
    print(f"{before / 1e6:.2f} -> {after / 1e6:.2f} M parameters; {output}")
    row = {"name": loaded.preset.name, "params_before": before, "params": after}
    write_json(json, [{**row, "precision": precision, "unet": wanted.to_dict()}])


def _steps(preset: Preset | None, given: dict[str, Any], unmerged: bool) -> Steps:
    """The preset's steps, or none, with those that were given in their place."""
    steps = Steps() if preset is None else Steps.of(preset.unet)
    changes = {name: value for name, value in given.items() if value is not None}
    if changes.get("temporal_operator") == "none":
        changes["temporal_operator"] = None
    if "fun_factors" in changes:
        changes.setdefault("funnel_layers", ("spatial",))
    return dataclasses.replace(steps, **changes, unmerged_funnels=unmerged)


def _laid_out(steps: Steps, start: UNetConfig, frames: int, size: Preset) -> UNetConfig:
    """Where the steps lead; UsageError where they cannot, for clips of that preset's size."""
    try:
        config = steps.laid_out(dataclasses.replace(start, num_frames=frames))
        config.check_latents(*size.latent_size)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if steps.unmerged_funnels and not config.unmerged_funnels:
        raise UsageError("--unmerged needs funnels: give --fun-factor")
    return config


def _one_of(flag: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise UsageError(f"{flag} must be one of {', '.join(known)}, not {value}")
