"""Small packages, as make android-bundle writes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def describe(folder: Path, runner: str, **changes: Any) -> Path:
    """Writes the package.json of what is in a folder; ``changes`` replace fields of it."""
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
            "executable": path.relative_to(folder).as_posix() == runner,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    about = {
        "schema": 1,
        "version": "0.1.0",
        "executorch": "1.5.1",
        "abi": "arm64-v8a",
        "os": "android",
        "page_size": 16384,
        "runner": runner,
        "bundle": "bundle",
        "files": files,
        **changes,
    }
    (folder / "package.json").write_text(json.dumps(about))
    return folder


def write_package(folder: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Path:
    """A package for the emulated device with names that a shell would trip over."""
    contents = {
        "bin/run": b"#!/system/bin/sh\necho runs\n",
        'lib/it\'s a "lib".so': bytes(range(256)) * 40,
        "bundle/weights\n$(id).ptd": b"w" * 300_000,
        "bundle/bundle.json": b"{}",
        **(files or {}),
    }
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return describe(folder, "bin/run", **changes)
