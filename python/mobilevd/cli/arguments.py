"""Arguments that several commands take, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..presets import PRESETS, Preset, get_preset
from ..whole_files import check_new_file

if TYPE_CHECKING:
    from ..models.parts import Promised
    from ..models.store import Model


def check_file(flag: str, path: Path | None, makes_folders: bool = False) -> None:
    """UsageError, before the long work, for a file that cannot be made; None is none given.

    ``makes_folders``: those that lack above it are made with it.
    """
    if path is None:
        return
    new = path
    while makes_folders and not new.absolute().parent.exists():
        new = new.parent
    try:
        check_new_file(new, flag)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _makes_folders(parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    check_file(parameter.opts[0], path, makes_folders=True)
    return path


def _in_a_folder(parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    check_file(parameter.opts[0], path)
    return path


PresetName = Annotated[str, typer.Option(help=f"One of: {', '.join(PRESETS)}.")]
ModelSource = Annotated[str, typer.Option(help="A model folder, or a preset whose weights ship.")]
BackendLibs = Annotated[
    list[Path] | None,
    typer.Option("--backend-lib", help="Library of a further ExecuTorch backend; repeatable."),
]
Serials = Annotated[
    list[str] | None,
    typer.Option("--serial", help="Of a device; repeatable. Default: ANDROID_SERIAL, or the one."),
]
FolderLabel = Annotated[
    str | None,
    typer.Option("--folder", help="/data/local/tmp/mobilevd-NAME. Default: your user name."),
]
Bundle = Annotated[Path | None, typer.Option(help="Default: the shipped mini.")]
Clip = Annotated[Path, typer.Option("-o", "--output", help=".mp4, .webm, .gif or a folder")]
ContactSheet = Annotated[
    Path | None, typer.Option(help="PNG of input and frames.", callback=_in_a_folder)
]
Seed = Annotated[int, typer.Option(help="0 to 2^64 - 1.")]
Threads = Annotated[int | None, typer.Option(help="1 to 1024. Default: the performance cores.")]
Steps = Annotated[int | None, typer.Option(help="1 to 1000. Default: the bundle's.")]
Fps = Annotated[float | None, typer.Option(help="Frames per second shown and told: 1 to 1000.")]
MotionBucket = Annotated[float | None, typer.Option(help="How much motion: 0 to 1023.")]
NoiseAug = Annotated[float | None, typer.Option(help="Noise on the picture: 0 to 10.")]
PackedWeights = Annotated[
    str,
    typer.Option(
        help="Folder that keeps packed weights between runs, or none. "
        "Default: the user's cache folder, for stages of 64 MB and more."
    ),
]
MaxMemory = Annotated[int, typer.Option(help="Refuse above this; 0: no limit.")]
Json = Annotated[
    Path | None,
    typer.Option("--json", help="Also write the figures to this file.", callback=_makes_folders),
]


def allow_only(context: typer.Context, allowed: set[str], why_not: str) -> None:
    """UsageError for another flag that is on the command line, not left at its default."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    for name in sorted(given - allowed):
        raise UsageError(f"--{name.replace('_', '-')} {why_not}")


def check_device(device: str) -> None:
    """UsageError for what is neither cpu nor a cuda that is there."""
    if device not in ("cpu", "cuda"):
        raise UsageError(f"--device must be cpu or cuda, not {device}")
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA GPU here")


def exclude(context: typer.Context, name: str, why_not: str) -> None:
    """UsageError for a flag that is on the command line, not left at its default."""
    allow_only(context, set(context.params) - {name}, why_not)


def at_least(flag: str, value: int | None, least: int) -> None:
    """UsageError for a smaller value; None is none given."""
    if value is not None and value < least:
        raise UsageError(f"{flag} must be at least {least}, not {value}")


def within(flag: str, value: float | None, least: int, most: int) -> None:
    """UsageError for a value outside, NaN too; None is none given."""
    if value is not None and not least <= value <= most:
        raise UsageError(f"{flag} must be from {least} to {most}, not {value}")


def check_sampling(
    seed: int,
    threads: int | None,
    steps: int | None,
    fps: float | None,
    max_memory_mb: int,
    motion_bucket: float | None = None,
    noise_aug: float | None = None,
) -> None:
    """UsageError for what no bundle takes: the ranges are those of cpp/runtime."""
    within("--threads", threads, 1, 1024)
    within("--steps", steps, 1, 1000)
    within("--fps", fps, 1, 1000)
    within("--motion-bucket", motion_bucket, 0, 1023)
    within("--noise-aug", noise_aug, 0, 10)
    at_least("--max-memory-mb", max_memory_mb, 0)
    if not 0 <= seed < 2**64:
        raise UsageError(f"--seed must be from 0 to 2^64 - 1, not {seed}")


def check_clip(output: Path) -> None:
    """Says what is wrong with an output's name before the long work."""
    from ..runtime.video import check_output

    try:
        check_output(output)
    except ValueError as error:
        raise UsageError(str(error)) from None


def check_picture(image: Path) -> None:
    if not image.is_file():
        raise UsageError(f"no picture {image}")


def shipped_mini() -> Path:
    """The bundle that ``--bundle`` means by default; exported once."""
    from ..export.shipped import shipped_bundle
    from .output import progress_bar

    with progress_bar("export of the shipped mini (once)") as report:
        return shipped_bundle("mini", lambda done, total, stage: report(done, total, stage))


def preset_of(name: str) -> Preset:
    """The preset of that name; UsageError if there is none."""
    try:
        return get_preset(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def check_model(source: str) -> None:
    """UsageError for a :data:`ModelSource` that is neither a folder nor a preset."""
    if not Path(source).is_dir():
        preset_of(source)


def model_of(source: str) -> Model:
    """The model of a :data:`ModelSource`, an unknown preset being a usage error."""
    from ..models.store import load_model

    check_model(source)
    return load_model(source)


def random_weights(preset: str, weights: str) -> Promised:
    """The model of that preset with ``--weights random:SEED``; UsageError for anything else."""
    from ..models.parts import random_model, random_seed

    try:
        seed = random_seed(weights)
    except ValueError:
        seed = None
    if seed is None:
        raise UsageError(
            f"--weights takes random:SEED, not {weights}; of an SVD folder make a model first: "
            f"mobilevd compress --weights FOLDER --preset {preset} -o MODEL"
        )
    return random_model(preset_of(preset), seed)
