"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import fcntl
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


def check_new_file(path: str | os.PathLike[str], what: str) -> None:
    """ValueError if :func:`whole_file` could not make ``path``; ``what`` begins the message.

    To be called before the long work whose result goes there.
    """
    target = Path(path)
    if target.is_dir():
        raise ValueError(f"{what}: {target} is a folder")
    check_new_name(target, what)


def check_new_name(path: Path, what: str) -> None:
    """ValueError if nothing new could be made beside ``path``."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{what}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{what}: cannot write into {folder}; choose another folder")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text)


@contextmanager
def whole_folder(
    path: str | os.PathLike[str], may_replace: Callable[[Path], bool]
) -> Iterator[Path]:
    """The same for a folder. One that is there is replaced only if ``may_replace`` says so.

    Folders cannot be swapped in one step: a kill between two renames leaves the older one under
    another name, which :func:`recover_folder` puts back. A second writer waits for the first.
    """
    target = Path(path)
    check_folder(target, may_replace)
    temporary = target.with_name(f".{target.name}.tmp")
    with claimed_folder(temporary):
        recover_folder(target)
        try:
            for left in temporary.iterdir():  # by a run that was killed
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield temporary
            if target.exists():
                shutil.rmtree(_older(target), ignore_errors=True)
                target.rename(_older(target))
            try:
                temporary.rename(target)
            except OSError:
                recover_folder(target)
                raise
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        shutil.rmtree(_older(target), ignore_errors=True)


@contextmanager
def claimed_folder(path: Path) -> Iterator[None]:
    """Makes a folder and keeps it to this process, after waiting for another that has it.

    By the kernel's lock of the folder itself: a killed process has none, whatever it left there.
    """
    while True:
        path.mkdir(parents=True, exist_ok=True)
        folder = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            # Whoever had it may have renamed it meanwhile.
            if path.is_dir() and os.path.samestat(path.stat(), os.fstat(folder)):
                yield
                return
        finally:
            os.close(folder)


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
