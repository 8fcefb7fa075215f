"""A run in a TOML file (``configs/``): read, checked, frozen.

method = "sfv"                      # and stage = "..." for mobilevd
preset = "svd-512x256"
start = "runs/..."                  # model folder; teacher likewise
[clip]       height, width, frames  # in place of the preset's
[data]       source, split, fps, cached_clips
[batch]      gpus, per_gpu, accumulation
[settings]   fields of Settings but for the batch, which [batch] says, and, where a method's players
             have rates of their own, learning_rate and weight_decay
[constants]  fields of the method's constants
[options]    fields of MobileVD's Options
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from ..presets import Preset, get_preset
from .methods.animatelcm import ANIMATELCM_MINI, AnimateLcmConstants
from .methods.ladd import LADD_MINI, LaddConstants
from .methods.mobilevd_options import STAGES, Options
from .methods.sfv import SFV_MINI, SfvConstants
from .methods.ufogen import UFOGEN_MINI, UfoGenConstants
from .settings import Settings

CONSTANTS: Mapping[str, type] = {
    "animatelcm": AnimateLcmConstants,
    "ladd": LaddConstants,
    "mobilevd": SfvConstants,
    "sfv": SfvConstants,
    "ufogen": UfoGenConstants,
}
# For the two mini presets (see ``SFV_MINI``).
MINI_CONSTANTS: Mapping[str, Any] = {
    "animatelcm": ANIMATELCM_MINI,
    "ladd": LADD_MINI,
    "mobilevd": SFV_MINI,
    "sfv": SFV_MINI,
    "ufogen": UFOGEN_MINI,
}
METHODS = ("svd", *CONSTANTS)
# The constant that is the student's learning rate.
RATE: Mapping[type, str] = {
    kind: "learning_rate" if kind is AnimateLcmConstants else "generator_rate"
    for kind in CONSTANTS.values()
}


@dataclass(frozen=True)
class DataSection:
    """``cached_clips``: latents made once (0: every clip is drawn and encoded anew)."""

    source: str
    split: str = "train"
    fps: float | None = None
    cached_clips: int = 0


@dataclass(frozen=True)
class BatchSection:
    """Clips of a step: processes x micro-batch x micro-batches."""

    gpus: int = 1
    per_gpu: int = 1
    accumulation: int = 1

    @property
    def clips(self) -> int:
        return self.gpus * self.per_gpu * self.accumulation


@dataclass(frozen=True)
class RecipeFile:
    """One run; ``preset`` has the file's size and frames, ``settings`` its batch."""

    path: Path
    method: str
    preset: Preset
    data: DataSection
    batch: BatchSection
    settings: Settings
    stage: str | None = None
    start: Path | None = None
    teacher: Path | None = None
    constants: Any = None
    options: Options = field(default_factory=Options)


def read_recipe(path: Path) -> RecipeFile:
    """ValueError (one line) names the file, the key that is wrong and the known ones."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"no file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    try:
        return _recipe(path, content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _recipe(path: Path, content: dict[str, Any]) -> RecipeFile:
    tables = ("clip", "data", "batch", "settings", "constants", "options")
    plain = ("method", "stage", "preset", "start", "teacher")
    _check_keys("", content, (*plain, *tables), needed=("method", "preset", "data", "settings"))
    for key in plain:
        if not isinstance(content.get(key, ""), str):
            raise ValueError(f"{key} must be text")
    for key in tables:
        if not isinstance(content.get(key, {}), dict):
            raise ValueError(f"{key} must be a table: [{key}]")
    method, stage = content["method"], content.get("stage")
    if method not in METHODS:
        raise ValueError(f"unknown method '{method}'; known: {', '.join(METHODS)}")
    if method == "mobilevd" and stage not in STAGES:
        raise ValueError(f"method mobilevd needs a stage, one of: {', '.join(STAGES)}")
    if method != "mobilevd" and (stage or content.get("options")):
        raise ValueError(f"stage and [options] go with method mobilevd, not {method}")
    batch = _section("batch", BatchSection, content.get("batch", {}))
    if min(batch.gpus, batch.per_gpu, batch.accumulation) < 1:
        raise ValueError("[batch] numbers must be at least 1")
    settings = {"batch_size": batch.clips, "micro_batch": batch.per_gpu}
    taken = sorted(settings.keys() & content["settings"].keys())
    if taken:
        raise ValueError(f"settings.{taken[0]} is what [batch] says")
    settings |= content["settings"]
    constants = None
    if method in CONSTANTS and stage not in ("low_resolution", "cross_attention"):
        for key in settings.keys() & {"learning_rate", "weight_decay"}:
            raise ValueError(
                f"settings.{key}: the players of {method} have their own in [constants]"
            )
        constants = _section("constants", CONSTANTS[method], content.get("constants", {}))
        settings["learning_rate"] = player_rate(constants)
    elif content.get("constants"):
        raise ValueError(f"{method} has no [constants]")
    return RecipeFile(
        path,
        method,
        _preset(content["preset"], content.get("clip", {})),
        _section("data", DataSection, content["data"]),
        batch,
        _section("settings", Settings, settings),
        stage,
        start=_path(content.get("start")),
        teacher=_path(content.get("teacher")),
        constants=constants,
        options=_section("options", Options, content.get("options", {})),
    )


def player_rate(constants: Any) -> float:
    """The learning rate of the player that the run is about."""
    return float(getattr(constants, RATE[type(constants)]))


def _path(value: str | None) -> Path | None:
    return Path(value) if value else None


def _preset(name: str, clip: Mapping[str, Any]) -> Preset:
    _check_keys("clip.", clip, ("height", "width", "frames"))
    preset = get_preset(name)
    for key, value in clip.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"clip.{key} must be a whole number of at least 1, not {value!r}")
    multiple = preset.vae.factor * 2 ** (len(preset.unet.block_out_channels) - 1)
    for key in ("height", "width"):
        if clip.get(key, multiple) % multiple:
            raise ValueError(f"clip.{key} must be a multiple of {multiple}, not {clip[key]}")
    frames = clip.get("frames", preset.unet.num_frames)
    return replace(
        preset,
        height=clip.get("height", preset.height),
        width=clip.get("width", preset.width),
        unet=replace(preset.unet, num_frames=frames),
    )


def _section(name: str, kind: type, values: Mapping[str, Any]) -> Any:
    """The dataclass with these values, each of the type that its default or annotation has."""
    known = {f.name: cast(str, f.type) for f in fields(kind)}
    _check_keys(f"{name}.", values, known)
    checked = {k: _value(f"{name}.{k}", v, known[k]) for k, v in values.items()}
    try:
        return kind(**checked)
    except TypeError as error:  # a field without a default
        missing = str(error).rpartition(":")[2].strip().replace("'", "")
        raise ValueError(f"[{name}] needs {missing}") from None


_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
}


def _value(key: str, value: Any, annotation: str) -> Any:
    if annotation.startswith("tuple["):
        inner = annotation.removeprefix("tuple[").split(",")[0].rstrip("]")
        if not isinstance(value, list):
            raise ValueError(f"{key} must be a list, not {value!r}")
        return tuple(_value(key, v, inner) for v in value)
    name = annotation.removesuffix(" | None")
    if not isinstance(value, _KINDS[name]) or (isinstance(value, bool) and name != "bool"):
        raise ValueError(f"{key} must be {name}, not {value!r}")
    return float(cast(float, value)) if name == "float" else value


def _check_keys(
    where: str, values: Mapping[str, Any], known: Iterable[str], needed: Iterable[str] = ()
) -> None:
    known = list(known)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"unknown key {where}{unknown[0]}; known: {', '.join(known)}")
    missing = [key for key in needed if key not in values]
    if missing:
        raise ValueError(f"{where}{missing[0]} is missing")
