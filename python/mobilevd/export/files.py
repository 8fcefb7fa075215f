"""Files of a bundle, written without a second copy in memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class _Hashed:
    """A file that knows what went into it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.bytes = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.bytes += len(data)
        self.sha256.update(data)
        return self.file.write(data)


def write_hashed(path: Path, content: Any) -> dict[str, Any]:
    """Writes bytes, or what writes itself (``Cord.write_to_file``); returns its entry under
    ``files`` of ``bundle.json``."""
    with path.open("wb") as file:
        hashed = _Hashed(file)
        if isinstance(content, bytes):
            hashed.write(content)
        else:
            content.write_to_file(hashed)
    return {"bytes": hashed.bytes, "sha256": hashed.sha256.hexdigest()}


@contextmanager
def spool_folder(beside: Path) -> Iterator[Path]:
    """A folder for files on the way, on the disk that has room for the bundle."""
    with tempfile.TemporaryDirectory(prefix=".spool-", dir=beside) as folder:
        yield Path(folder)
