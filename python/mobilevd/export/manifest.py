"""``bundle.json`` read back; no torch here, so that what only reads a bundle starts quickly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 2  # 1: convolutions of ours took silu as a bool
_IDENTITY = ("preset", "backend", "precision", "shapes", "sampling")


def read_bundle(folder: Path) -> dict[str, Any]:
    """``bundle.json`` of a bundle folder; the C++ runtime checks the files' hashes on load."""
    path, manifest = _read(folder)
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema_version {manifest.get('schema_version')}, this mobilevd reads "
            f"{SCHEMA_VERSION}: export it again"
        )
    missing = [key for key in (*_IDENTITY, "stages", "files") if key not in manifest]
    if not missing and "fps" not in manifest["sampling"]:
        missing = ["sampling's fps"]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}: export it again")
    return manifest


def listed_files(folder: Path) -> set[str]:
    """What belongs to a bundle of any schema_version; raises as ``read_bundle``."""
    path, manifest = _read(folder)
    files = manifest.get("files", {})
    if not isinstance(files, dict):
        raise ValueError(f"{path} does not list its files")
    return {"bundle.json", *files}


def _read(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = Path(folder) / "bundle.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no bundle.json: not a bundle (make one: mobilevd export)"
        )
    try:
        manifest = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}): export it again") from None
    if not isinstance(manifest, dict) or "schema_version" not in manifest:
        raise ValueError(f"{path} does not describe a bundle: export it again")
    return path, manifest
