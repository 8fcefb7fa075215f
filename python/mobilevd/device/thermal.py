"""A device's temperature, and waiting until it has cooled: a hot phone is a slow phone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .connection import Device

POLL_S = 5.0
# One line per zone: its type and its reading. Some zones are there and cannot be read.
_SCRIPT = (
    "for zone in /sys/class/thermal/thermal_zone*; do "
    'echo "$(cat "$zone/type" 2>/dev/null) $(cat "$zone/temp" 2>/dev/null)"; done'
)


def cpu_temperature_c(device: Device) -> float | None:
    """The hottest zone of a CPU or SoC, as the runner reads it (cpp/runtime/host.cc), or None."""
    readings = []
    for line in device.shell(["sh", "-c", _SCRIPT], check=False).text.splitlines():
        kind, _, value = line.rpartition(" ")
        kind = kind.lower()
        is_cpu = "cpu" in kind or "soc" in kind or kind == "x86_pkg_temp"
        if is_cpu and value.lstrip("-").isdigit():
            readings.append(int(value) / 1000)
    # Sensors that are off read far below zero, or hotter than silicon lives.
    return max((t for t in readings if -40 < t < 150), default=None)


@dataclass(frozen=True)
class CoolDown:
    """Wait until the temperature is at most ``below_c``, but not longer than ``limit_s``."""

    below_c: float = 40.0
    limit_s: float = 300.0


@dataclass(frozen=True)
class Waited:
    seconds: float
    temperature_c: float | None
    cool: bool  # False: the limit passed first, or there is no temperature to read


def wait_until_cool(
    device: Device,
    gate: CoolDown,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Waited:
    """Waits and says so; after the limit it says that too and goes on."""
    start = clock()
    temperature = cpu_temperature_c(device)
    if temperature is None:
        return Waited(0.0, None, cool=False)
    if temperature > gate.below_c:
        say(f"{temperature:.0f} °C, waiting for {gate.below_c:g} °C ({gate.limit_s:g} s at most)")
    while temperature is not None and temperature > gate.below_c:
        left = gate.limit_s - (clock() - start)
        if left <= 0:
            say(f"still {temperature:.0f} °C after {gate.limit_s:g} s: measured warm")
            break
        sleep(min(POLL_S, left))
        temperature = cpu_temperature_c(device)
    cool = temperature is not None and temperature <= gate.below_c
    return Waited(clock() - start, temperature, cool)
