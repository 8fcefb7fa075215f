"""Arguments that several commands take, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..presets import PRESETS, Preset, get_preset

if TYPE_CHECKING:
    from ..models.store import Model

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
Json = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")]


def preset_of(name: str) -> Preset:
    """The preset of that name; UsageError if there is none."""
    try:
        return get_preset(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def model_of(source: str) -> Model:
    """The model of a :data:`ModelSource`, an unknown preset being a usage error."""
    from ..models.store import load_model

    if not Path(source).is_dir():
        preset_of(source)
    return load_model(source)


def picture_as_seen(image: Path, height: int, width: int) -> Any:
    """The picture as the pipeline takes it: rotated, cropped, resized; uint8 [H, W, 3]."""
    from ..runtime import load_image

    seen = load_image(str(image), height, width)
    return (seen.transpose(1, 2, 0) * 255).round().astype("uint8")
