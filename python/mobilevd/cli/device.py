"""``mobilevd device``: phones over adb. Listing only, so far."""

from __future__ import annotations

import typer

from .arguments import Json
from .output import table, write_json

device = typer.Typer(help="Phones over adb.", no_args_is_help=True, rich_markup_mode=None)


@device.callback()
def phones() -> None:
    """Phones over adb."""


@device.command("list", epilog="Example: mobilevd device list")
def list_devices(json: Json = None) -> None:
    """List attached devices and their state."""
    from ..device.adb import devices

    rows = devices()
    table(
        "devices",
        ["serial", "state", "model"],
        [[d["serial"], d["state"], d["model"]] for d in rows],
    )
    write_json(json, rows)
