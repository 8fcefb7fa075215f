"""``mobilevd device``: phones over adb."""

from __future__ import annotations

import typer

from .arguments import Json
from .output import table, write_json

device = typer.Typer(help="Phones over adb.", no_args_is_help=True, rich_markup_mode=None)


@device.callback()
def phones() -> None:
    """Phones over adb.

    Exit codes: 0 done, 1 bad data, 2 bad usage, 3 device trouble, 4 a missed bar or baseline.
    """


@device.command("list", epilog="Example: mobilevd device list --json devices.json")
def list_devices(json: Json = None) -> None:
    """List attached devices: state, model, SoC, ABI, Android's version."""
    from ..device.facts import attached

    rows = attached()
    columns = ["serial", "state", "model", "soc", "abi", "android", "advice"]
    table("devices", columns, [[row[column] or "" for column in columns] for row in rows])
    write_json(json, rows)
