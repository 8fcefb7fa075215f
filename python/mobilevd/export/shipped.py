"""The bundle of a shipped preset, exported once into the user's cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from .. import __version__, _kernels
from .flavour import Flavour

DEFAULT_FLAVOUR = Flavour()


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/mobilevd`` or ``~/.cache/mobilevd``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mobilevd"


def shipped_bundle(
    preset: str,
    progress: Callable[[int, int, str], object] = lambda done, total, stage: None,
    flavour: Flavour = DEFAULT_FLAVOUR,
) -> Path:
    """Path of the exported bundle; made when missing, keyed by weights, exporter and versions."""
    package = Path(__file__).parents[1]
    weights = package / "weights" / preset
    key = hashlib.sha256(f"{__version__} {version('executorch')}".encode())
    sources = [*weights.glob("*"), package / "presets.py"]
    # The kernels' own order of weights is compiled; calibration makes clips.
    sources.append(Path(_kernels.__file__))
    calibration = ("evaluate", "training/data") if flavour.quantized else ()
    for room in ("models", "compress", "export", "kernels", *calibration):
        sources += package.glob(f"{room}/**/*.py")
    for file in sorted(sources):
        key.update(file.read_bytes())
    name = "-".join([preset, *map(str, flavour.to_dict().values())])
    folder = cache_folder() / "bundles" / f"{name}-{key.hexdigest()[:16]}"
    if not (folder / "bundle.json").is_file():
        from ..models.store import load_model
        from .bundle import export_bundle
        from .stages import STAGES

        folder.parent.mkdir(parents=True, exist_ok=True)
        export_bundle(
            load_model(preset),
            folder,
            flavour,
            progress=lambda stage: progress(STAGES.index(stage), len(STAGES), stage),
        )
    return folder
