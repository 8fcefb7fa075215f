"""Small packages, as make android-bundle writes them, with names that a shell would trip over."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def write_package(folder: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Path:
    """A package for the emulated device; ``changes`` replace fields of package.json."""
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
    about = {
        "schema": 1,
        "abi": "arm64-v8a",
        "os": "android",
        "page_size": 16384,
        "runner": "bin/run",
        "bundle": "bundle",
        "files": {
            name: {
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
                "executable": name.startswith("bin/"),
            }
            for name, data in contents.items()
        },
        **changes,
    }
    (folder / "package.json").write_text(json.dumps(about))
    return folder
