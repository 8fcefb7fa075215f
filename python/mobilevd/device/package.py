"""A package: the folder ``make android-bundle`` writes, described by its ``package.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .connection import Device, file_sha256
from .errors import WrongAbiError

DESCRIPTION = "package.json"
_SCHEMA = 1
# glibc's architecture names mean the same machine code as Android's.
_ABIS = {"aarch64": "arm64-v8a", "x86-64": "x86_64"}


@dataclass(frozen=True)
class Source:
    """A file to be on the device: where it is here, and what it must be there."""

    local: Path
    sha256: str
    bytes: int
    executable: bool = False


@dataclass(frozen=True)
class Package:
    """``files`` by their path in the package; ``runner`` and ``bundle`` are such paths."""

    folder: Path
    abi: str
    os: str
    page_size: int
    runner: str
    bundle: str | None
    files: dict[str, Source]
    description: dict[str, Any]


def read_package(folder: Path) -> Package:
    """ValueError, in one line, if it is no package or a file in it is not what it says."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ValueError(
            f"{folder} is no package (no {DESCRIPTION}): make one, make android-bundle"
        )
    try:
        text = json.loads(path.read_text())
        if text["schema"] != _SCHEMA:
            raise ValueError(f"schema {text['schema']}, this version reads {_SCHEMA}")
        files = {
            str(name): Source(
                folder / name, str(row["sha256"]), int(row["bytes"]), bool(row["executable"])
            )
            for name, row in text["files"].items()
        }
        package = Package(
            folder,
            _ABIS.get(text["abi"], text["abi"]),
            text["os"],
            int(text["page_size"]),
            str(text["runner"]),
            text.get("bundle"),
            files,
            text,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): make the package again") from None
    for name, source in files.items():
        if not source.local.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path}: {name!r} leads outside: make the package again")
        if not source.local.is_file():
            raise ValueError(f"{folder} lacks {name!r}: make the package again")
        if source.local.stat().st_size != source.bytes or (
            file_sha256(source.local) != source.sha256
        ):
            raise ValueError(f"{source.local} is not what {DESCRIPTION} says: make it again")
    package.files[DESCRIPTION] = source_of(path)
    return package


def source_of(path: Path) -> Source:
    return Source(path, file_sha256(path), path.stat().st_size)


def folder_files(folder: Path) -> dict[str, Source]:
    """Every file in a folder, hidden ones too; ValueError if there is none."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    if not paths:
        raise ValueError(f"{folder} has no files to push")
    return {str(p.relative_to(folder)): source_of(p) for p in paths}


def check_abi(device: Device, package: Package) -> None:
    """WrongAbiError if the device cannot execute the package."""
    properties = device.properties()
    listed = properties.get("ro.product.cpu.abilist") or properties.get("ro.product.cpu.abi", "")
    if package.abi not in listed.split(","):
        raise WrongAbiError(
            f"{device.serial} executes {listed or 'an unknown ABI'}, the package is for "
            f"{package.abi}: build it for the device's ABI"
        )
