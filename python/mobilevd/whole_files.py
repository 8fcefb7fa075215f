"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text)


@contextmanager
def whole_folder(
    path: str | os.PathLike[str], may_replace: Callable[[Path], bool]
) -> Iterator[Path]:
    """The same for a folder. One that is there is replaced only if ``may_replace`` says so.

    Folders cannot be swapped in one step: a kill between two renames leaves the older one under
    another name, which :func:`recover_folder` puts back.
    """
    target = Path(path)
    check_folder(target, may_replace)
    # One writer at a time, so one name: what a killed run left is cleared by the next.
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(_older(target), ignore_errors=True)
            target.rename(_older(target))
        try:
            temporary.rename(target)
        except OSError:
            recover_folder(target)
            raise
        shutil.rmtree(_older(target), ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_folder(path: str | os.PathLike[str], may_replace: Callable[[Path], bool]) -> None:
    """ValueError if :func:`whole_folder` would refuse to write there."""
    target = Path(path)
    if target.exists() and not (target.is_dir() and may_replace(target)):
        raise ValueError(f"{target} holds other files: choose a new or an empty folder")


def _older(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def recover_folder(path: str | os.PathLike[str]) -> None:
    """Undo a replacement that was cut off between its two renames."""
    target = Path(path)
    if _older(target).is_dir() and not target.exists():
        _older(target).rename(target)
