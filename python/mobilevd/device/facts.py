"""What a result says of the device it was measured on."""

from __future__ import annotations

from typing import Any

from .connection import Device

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
