"""The work folder: what was made once is not made again, unless what it follows from changed.

    WORK/<preset>/shared-<key>/      weights, inputs, eager PyTorch's answer
    WORK/<preset>/<peer>-<key>/      what was converted for a peer, converted.json when it is whole
    WORK/<preset>/rows/<peer>-<key>.json   what was measured of it, <...>.npy: its answer
    WORK/<preset>/packed/            packed weights of ours
    WORK/<preset>/logs/<peer>.txt    what its last process said

A new one takes the place of older ones of the same name: these files are as large as models.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...models.store import model_folder
from ...whole_files import write_text
from .peer import Peer

PACKAGE = Path(__file__).parents[2]
_WHOLE = "converted.json"
# Libraries under whose names packages are installed.
_ALWAYS = ("torch", "executorch")


def key_of(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def digest_of_files(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()


def digest_of_weights(weights: str, random: bool) -> str:
    """``random:SEED`` is its own name; a model folder is known by the UNet's file."""
    if random:
        return weights
    return digest_of_files([model_folder(weights) / "unet.safetensors"])


def versions(peer: Peer) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in (*_ALWAYS, *peer.needs)}


def sources(peer: Peer) -> str:
    """Digest of the code that a peer's conversion follows from."""
    files = [PACKAGE.parent / (peer.module.replace(".", "/") + ".py"), PACKAGE / "presets.py"]
    for name in ("models", *peer.sources):
        path = PACKAGE / name
        files += sorted(path.glob("**/*.py")) if path.is_dir() else [path]
    return digest_of_files(file for file in files if file.is_file())


class Kept:
    """The folder of one preset."""

    def __init__(self, work: Path, preset: str) -> None:
        self.folder = work.absolute() / preset

    def converted(self, peer: Peer, key: str) -> dict[str, Any] | None:
        """What is known of a whole conversion; None if there is none of that key."""
        return _read(self.artefacts(peer, key) / _WHOLE)

    def artefacts(self, peer: Peer, key: str) -> Path:
        return self.folder / f"{peer.name}-{key}"

    def begin(self, peer: Peer, key: str) -> Path:
        """An empty folder to convert into; what was made for the peer before is deleted."""
        self.delete(peer)
        folder = self.artefacts(peer, key)
        folder.mkdir(parents=True)
        return folder

    def delete(self, peer: Peer) -> None:
        for path in self._made_for(peer):
            shutil.rmtree(path, ignore_errors=True)

    def bytes_of(self, peer: Peer) -> int:
        """Of all that was converted for it, whole or not, and is deleted when it begins anew."""
        return int(1e6 * sum(megabytes(folder) for folder in self._made_for(peer)))

    def _made_for(self, peer: Peer) -> list[Path]:
        return sorted(self.folder.glob(f"{peer.name}-{'?' * 12}"))

    def finish(self, peer: Peer, key: str, about: dict[str, Any]) -> None:
        write_text(self.artefacts(peer, key) / _WHOLE, json.dumps(about) + "\n")

    def row(self, name: str, key: str) -> dict[str, Any] | None:
        return _read(self._row(name, key))

    def answer(self, name: str, key: str) -> Path:
        """Where the peer's answer lies or is to be written, as .npy."""
        path = self._row(name, key).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def keep_row(self, name: str, key: str, row: dict[str, Any]) -> None:
        path = self._row(name, key)
        for older in path.parent.glob(f"{name}-{'?' * 12}.*"):
            if older.stem != path.stem:
                older.unlink()
        write_text(path, json.dumps(row, indent=1) + "\n")

    def _row(self, name: str, key: str) -> Path:
        return self.folder / "rows" / f"{name}-{key}.json"

    def log(self, name: str) -> Path:
        path = self.folder / "logs" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def packed(self) -> Path:
        return self.folder / "packed"


def _read(path: Path) -> dict[str, Any] | None:
    """None where there is nothing, or only half of it."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def megabytes(folder: Path, pattern: str = "**/*") -> float:
    """What a peer needs on disk, MB of 10^6 bytes; not the caches that a compiler left."""
    files = [p for p in folder.glob(pattern) if p.is_file() and "inductor" not in p.parts]
    return sum(p.stat().st_size for p in files if p.name != _WHOLE) / 1e6
