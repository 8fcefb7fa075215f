"""What a result says of the device it was measured on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .adb import devices, what_to_do
from .connection import Device
from .errors import DeviceError

# Of an emulator: Android's own, and the one of tests/device.
_EMULATED = ("ro.kernel.qemu", "ro.boot.qemu")


def device_facts(device: Device) -> dict[str, Any]:
    """Serial, manufacturer, model, SoC, ABI, Android's version; None where it does not say."""
    properties = device.properties()
    named = {
        "manufacturer": "ro.product.manufacturer",
        "model": "ro.product.model",
        "soc": "ro.soc.model",
        "abi": "ro.product.cpu.abi",
        "android": "ro.build.version.release",
    }
    facts = {key: properties.get(name) or None for key, name in named.items()}
    emulated = any(properties.get(name) == "1" for name in _EMULATED)
    return {"serial": device.serial, **facts, "emulated": emulated}


def attached() -> list[dict[str, Any]]:
    """A row for each device that adb lists, ready or not; ``advice`` if there is something to do.

    A device that does not answer does not spoil the list.
    """

    def told(row: dict[str, Any]) -> dict[str, Any]:
        facts: dict[str, Any] = dict.fromkeys(("manufacturer", "soc", "abi", "android", "emulated"))
        advice = what_to_do(row["state"])
        if row["state"] == "device":
            try:
                facts = device_facts(Device(row["serial"]))
            except DeviceError as error:
                advice = str(error)
        model = facts.get("model") or row["model"]  # adb's has no spaces
        return {**facts, **row, "model": model, "advice": advice}

    rows = devices()
    with ThreadPoolExecutor(max_workers=max(1, len(rows))) as pool:
        return list(pool.map(told, rows))
