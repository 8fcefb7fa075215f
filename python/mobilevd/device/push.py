"""Files to the device, only what changed, so that a cut-off push goes on where it stopped.

A file gets its name only once its sha256 was right on the device, hence what is there is whole,
whatever happened. Each tree ``NAME`` in our folder has a ``NAME.manifest.json`` beside it while it
is complete: sha256, size and time of change of all that was verified.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .adb import transfer_time
from .connection import Device
from .errors import DamagedError, DeviceError, StorageFullError
from .folder import DeviceFolder
from .incoming import Incoming
from .package import Package, Source, check_abi, folder_files, source_of

_SCHEMA = 1
_SPARE = 16 << 20  # bytes left free on the device
Report = Callable[[int, int, str], None]  # bytes done, bytes in all, what


@dataclass
class Pushed:
    """What a push did; ``path`` is where the tree is on the device."""

    serial: str
    path: str
    sent: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    seconds: float = 0.0


def push_package(
    folder: DeviceFolder, package: Package, report: Report | None = None, verify: bool = False
) -> Pushed:
    """The package, as tree ``package``. WrongAbiError before anything is sent."""
    check_abi(folder.device, package)
    return push_tree(folder, package.files, "package", report, verify)


def push_bundle(
    folder: DeviceFolder, bundle: Path, report: Report | None = None, verify: bool = False
) -> Pushed:
    """A bundle alone, as tree ``bundles/NAME``."""
    name = bundle.resolve().name
    return push_tree(folder, folder_files(bundle), f"bundles/{name}", report, verify)


def push_picture(folder: DeviceFolder, picture: Path) -> str:
    """A picture under the name of its own sha256; returns its path on the device."""
    source = source_of(picture)
    path = folder.at(f"pictures/{source.sha256[:16]}{picture.suffix.lower()}")
    folder.create()
    folder.make("pictures")
    there = folder.device.shell(["sha256sum", "-b", path], check=False)
    if there.code or there.text.strip() != source.sha256:
        folder.device.push_file(picture, path)
    return path


def push_tree(
    folder: DeviceFolder,
    files: Mapping[str, Source],
    tree: str,
    report: Report | None = None,
    verify: bool = False,
) -> Pushed:
    """Makes ``tree`` on the device hold exactly ``files``.

    With ``verify`` everything is hashed again on the device, not only what the manifest lacks.
    Any DeviceError leaves whole files only, and a tree that is not complete.
    """
    start = time.monotonic()
    device, root = folder.device, folder.at(tree)
    for name in files:
        folder.at(f"{tree}/{name}")
    folder.create()
    folder.make(tree)
    there = _listing(folder, tree)
    manifest = read_manifest(folder, tree)
    good = _good(folder, tree, files, there, {} if verify else manifest or {})
    result = Pushed(device.serial, root, kept=sorted(good))
    wanted = {name: source for name, source in files.items() if name not in good}
    stale = sorted(name for name in there if name not in files)
    if wanted or stale or manifest is None or manifest.keys() != files.keys():
        total = sum(source.bytes for source in wanted.values())
        device.shell(["rm", "-f", _manifest(folder, tree)])
        _remove(folder, tree, stale)
        result.removed = stale
        if wanted:
            _send(folder, tree, wanted, lambda done: report(done, total, tree) if report else None)
        result.sent, result.bytes_sent = sorted(wanted), total
        there = _listing(folder, tree)
        _write_manifest(folder, tree, files, there)
    result.seconds = time.monotonic() - start
    return result


def _send(
    folder: DeviceFolder, tree: str, files: Mapping[str, Source], report: Callable[[int], None]
) -> None:
    parents = sorted({str(PurePosixPath(f"{tree}/{name}").parent) for name in files})
    folder.device.shell_on(["mkdir", "-p"], [folder.at(name) for name in parents])
    paths = {folder.at(f"{tree}/{name}"): source for name, source in files.items()}
    incoming = Incoming(folder.device, folder.at("incoming"), paths)
    total = sum(source.bytes for source in files.values())
    _check_room(folder, total - sum(incoming.held.values()))
    sent = 0

    def arrived(count: int) -> None:
        nonlocal sent
        sent += count
        report(sent)

    incoming.deliver(arrived)


def read_manifest(folder: DeviceFolder, tree: str) -> dict[str, Any] | None:
    """What a complete tree holds: path -> sha256, stat. None if it is not complete, or the file
    makes no sense: then everything is hashed on the device."""
    done = folder.device.shell(["cat", _manifest(folder, tree)], check=False)
    try:
        found = json.loads(done.stdout) if done.code == 0 else {}
        whole = found["schema"] == _SCHEMA and isinstance(found["files"], dict)
        return found["files"] if whole else None
    except (ValueError, KeyError, TypeError):
        return None


def require_complete(folder: DeviceFolder, tree: str) -> dict[str, Any]:
    """The manifest of a tree that was pushed in full; DeviceError if it was not."""
    manifest = read_manifest(folder, tree)
    if manifest is None:
        raise DeviceError(
            f"{folder.device.serial}: {folder.at(tree)} is not complete: mobilevd device push"
        )
    return manifest


def _manifest(folder: DeviceFolder, tree: str) -> str:
    return folder.at(f"{tree}.manifest.json")


def _write_manifest(
    folder: DeviceFolder, tree: str, files: Mapping[str, Source], there: Mapping[str, str]
) -> None:
    entries = {n: {"sha256": source.sha256, "stat": there.get(n)} for n, source in files.items()}
    text = json.dumps({"schema": _SCHEMA, "files": entries})
    folder.device.push_bytes(text.encode(), _manifest(folder, tree))


def _listing(folder: DeviceFolder, tree: str) -> dict[str, str]:
    """What is in a tree but folders: relative path -> "size time mode"."""
    root = folder.at(tree)
    device = folder.device
    found = device.shell(["find", root, "!", "-type", "d", "-print0"]).stdout.split(b"\0")
    paths = [path.decode(errors="surrogateescape") for path in found if path]
    if not all(path.startswith(root + "/") for path in paths):
        raise DamagedError(f"{device.serial}: find answered nonsense: try again")
    listing = {}
    for some, done in device.shell_on(["stat", "-c", "%s %Y %a"], paths):
        lines = done.text.split("\n")[:-1]
        if len(lines) != len(some):
            raise DamagedError(f"{device.serial}: stat answered nonsense: try again")
        listing.update({p[len(root) + 1 :]: line for p, line in zip(some, lines, strict=True)})
    return listing


def _good(
    folder: DeviceFolder,
    tree: str,
    files: Mapping[str, Source],
    there: Mapping[str, str],
    known: Mapping[str, Any],
) -> set[str]:
    """The files that need not be sent: unchanged since they were verified, or right when hashed."""
    good, doubtful = set(), []
    for name, source in files.items():
        stat = there.get(name, "")
        size, mode = stat.partition(" ")[0], stat.rpartition(" ")[2]
        if (size, mode) != (str(source.bytes), "755" if source.executable else "644"):
            continue
        if known.get(name) == {"sha256": source.sha256, "stat": stat}:
            good.add(name)
        else:
            doubtful.append(name)
    paths = [folder.at(f"{tree}/{name}") for name in doubtful]
    seconds = transfer_time(sum(files[name].bytes for name in doubtful))
    digests = folder.device.sha256_of_all(paths, seconds)
    good |= {n for n, d in zip(doubtful, digests, strict=True) if d == files[n].sha256}
    return good


def _remove(folder: DeviceFolder, tree: str, stale: list[str]) -> None:
    root = folder.at(tree)
    folder.device.shell_on(["rm", "-f"], [f"{root}/{name}" for name in stale])
    if stale:  # folders that this left empty; rmdir refuses the others
        ends = ["-mindepth", "1", "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]
        folder.device.shell(["find", root, *ends], check=False)


def free_bytes(device: Device, path: str) -> int | None:
    """Room in the file system of a path; None where df does not tell as toybox does."""
    lines = device.shell(["df", "-k", path], check=False).text.splitlines()
    words = lines[-1].split() if lines else []
    return int(words[3]) * 1024 if len(words) > 3 and words[3].isdigit() else None


def _check_room(folder: DeviceFolder, needed: int) -> None:
    """Before anything is sent: a full phone helps nobody. Else the transfer itself will tell."""
    free = free_bytes(folder.device, folder.path)
    if free is not None and needed + min(needed, _SPARE) > free:
        raise StorageFullError(
            f"{folder.device.serial} has {free / 1e6:.0f} MB free, the push needs "
            f"{needed / 1e6:.0f} MB: free space on it, or mobilevd device clean"
        )
