"""``mobilevd device push`` and ``clean``: what is on a phone of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .arguments import FolderLabel, Json, Serials
from .device import device
from .on_devices import AllDevices, board, finish, meant
from .output import write_json

if TYPE_CHECKING:
    from ..device import Device


@device.command(epilog="Example: mobilevd device push --package build/packages/android-arm64")
def push(
    package: Annotated[
        Path | None, typer.Option("--package", help="What make android-bundle wrote.")
    ] = None,
    bundle: Annotated[list[Path] | None, typer.Option(help="Of its own; repeatable.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash everything on the device again.")
    ] = False,
    serial: Serials = None,
    every: AllDevices = False,
    folder: FolderLabel = None,
    json: Json = None,
) -> None:
    """Push a package or bundles: what changed by sha256, verified on the device.

    After a lost link the same command goes on where it stopped.
    """
    from ..device import DeviceFolder, push_bundle, push_package, read_package
    from ..device.many import on_each
    from ..device.push import Pushed

    if package is None and not bundle:
        raise UsageError("nothing to push: give --package or --bundle")
    for path in bundle or ():
        if not (path / "bundle.json").is_file():
            raise UsageError(f"{path} is no bundle: mobilevd export writes one")
    packed = read_package(package) if package else None
    devices = meant(serial, every)
    with board([d.serial for d in devices]) as shown:

        def send(one: Device) -> list[Pushed]:
            place, report = DeviceFolder(one, folder), shown.report(one.serial)
            done = [push_package(place, packed, report, verify)] if packed else []
            return done + [push_bundle(place, path, report, verify) for path in bundle or ()]

        outcomes = on_each(devices, send)
    write_json(
        json,
        [
            {"serial": o.serial, "error": o.error, "trees": [vars(p) for p in o.value or []]}
            for o in outcomes
        ],
    )

    def cells(pushed: list[Pushed]) -> list[Any]:
        sent = sum(p.bytes_sent for p in pushed)
        counts = [sum(len(names) for names in kind) for kind in _kinds(pushed)]
        seconds = sum(p.seconds for p in pushed)
        return [*counts, f"{sent / 1e6:.1f}", f"{seconds:.1f}", pushed[0].path.rpartition("/")[0]]

    finish("push", outcomes, ["sent", "kept", "removed", "MB", "seconds", "folder"], cells)


def _kinds(pushed: list[Any]) -> list[list[list[str]]]:
    return [[getattr(p, kind) for p in pushed] for kind in ("sent", "kept", "removed")]


@device.command(epilog="Example: mobilevd device clean --serial 0a1b2c3d")
def clean(
    everyones: Annotated[
        bool, typer.Option("--everyones", help="All folders that mobilevd made there.")
    ] = False,
    serial: Serials = None,
    every: AllDevices = False,
    folder: FolderLabel = None,
    json: Json = None,
) -> None:
    """Remove our folder from a device; only one that mobilevd made and marked."""
    from ..device import DeviceFolder
    from ..device.folder import folders
    from ..device.many import on_each

    if everyones and folder is not None:
        raise UsageError("--everyones and --folder exclude each other")
    devices = meant(serial, every)

    def remove(one: Device) -> list[str]:
        ours = folders(one) if everyones else [DeviceFolder(one, folder)]
        return [place.path for place in ours if place.clean()]

    outcomes = on_each(devices, remove)
    write_json(
        json, [{"serial": o.serial, "error": o.error, "removed": o.value or []} for o in outcomes]
    )
    finish("clean", outcomes, ["removed"], lambda paths: [", ".join(paths) or "nothing there"])
