"""``mobilevd device doctor``: is a phone fit to run and to measure?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ..errors import ExitCode
from .arguments import FolderLabel, Json, Serials
from .device import device
from .on_devices import AllDevices, board, complain, meant
from .output import table, write_json

if TYPE_CHECKING:
    from ..device import Device
    from ..device.findings import Finding


@device.command(epilog="Example: mobilevd device doctor --serial 0a1b2c3d --json doctor.json")
def doctor(
    serial: Serials = None,
    every: AllDevices = False,
    folder: FolderLabel = None,
    json: Json = None,
) -> None:
    """Say what a device is and what to do where it is not fit; exit code 3 if it will not run.

    SoC, ABI, Android, page size, free memory and storage, Vulkan, HTP and its libraries, cores,
    battery, temperature, and what was pushed.
    """
    from ..device import DeviceFolder
    from ..device.doctor import examine
    from ..device.many import exit_code, on_each

    devices = meant(serial, every)
    with board([d.serial for d in devices]) as shown:

        def look(one: Device) -> list[Finding]:
            return examine(one, DeviceFolder(one, folder), shown.report(one.serial, "looks at"))

        outcomes = on_each(devices, look)
    for outcome in outcomes:
        if outcome.value is not None:
            rows = [[f.name, f.state, f.seen, f.advice] for f in outcome.value]
            table(f"doctor: {outcome.serial}", ["finding", "state", "seen", "what to do"], rows)
    write_json(
        json,
        [
            {"serial": o.serial, "error": o.error, "findings": [asdict(f) for f in o.value or []]}
            for o in outcomes
        ],
    )
    complain(outcomes)
    unfit = any(f.state == "fail" for o in outcomes for f in o.value or [])
    raise typer.Exit(exit_code(outcomes) or (ExitCode.DEVICE if unfit else ExitCode.OK))
