"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name in the same folder; rename it to ``path`` on success.

    The temporary name keeps the ending (writers choose the format by it). On any error, Ctrl-C
    included, it is removed and an older file stays as it was.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}.tmp.{os.getpid()}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str], pattern: str) -> Iterator[Path]:
    """The same for a folder. One that exists is replaced only if all in it matches ``pattern``."""
    target = Path(path)
    if target.exists():
        others = [p.name for p in target.iterdir() if not p.match(pattern)]
        if others:
            raise ValueError(f"folder {target} holds other files ({others[0]}); choose a new one")
    temporary = target.with_name(f".{target.name}.tmp.{os.getpid()}")
    temporary.mkdir()
    old = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
