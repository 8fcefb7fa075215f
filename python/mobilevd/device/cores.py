"""Which cores a bench runs on: by default the fast ones, as the runner counts its threads."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import UsageError
from .connection import Device
from .errors import DamagedError

SHARE_OF_FASTEST = 0.8  # cpp/runtime/threads.h
_SCRIPT = (
    "for core in /sys/devices/system/cpu/cpu[0-9]*; do "
    'echo "${core##*/cpu} $(cat "$core/cpufreq/cpuinfo_max_freq" 2>/dev/null)"; done'
)


def core_frequencies_khz(device: Device) -> dict[int, int]:
    """Top frequency of each core that is there; 0 where the kernel does not tell."""
    found = {}
    for line in device.shell(["sh", "-c", _SCRIPT], check=False).text.splitlines():
        match = re.fullmatch(r"(\d+)(?: (\d+))?", line.strip())
        if match is not None:
            found[int(match[1])] = int(match[2] or 0)
    if not found:
        raise DamagedError(f"{device.serial}: no cores below /sys/devices/system/cpu: try --cores")
    return found


def performance_cores(frequencies: Mapping[int, int]) -> list[int]:
    """Those within 80 % of the fastest one's top frequency; all where it is not known."""
    least = SHARE_OF_FASTEST * max(frequencies.values())
    return sorted(core for core, khz in frequencies.items() if khz >= least)


def choose_cores(text: str, frequencies: Mapping[int, int]) -> list[int]:
    """``performance``, ``all``, or a list such as ``4-6,7``; UsageError for a core not there."""
    if text == "performance":
        return performance_cores(frequencies)
    if text == "all":
        return sorted(frequencies)
    chosen = parse_cores(text)
    absent = [core for core in chosen if core not in frequencies]
    if absent:
        have = ", ".join(map(str, sorted(frequencies)))
        raise UsageError(f"--cores {text}: no core {absent[0]}, the device has {have}")
    return chosen


def parse_cores(text: str) -> list[int]:
    """``0,4-7`` -> [0, 4, 5, 6, 7], as the kernel writes lists of cores."""
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if match is None:
            raise UsageError(f"--cores {text}: give all, performance or a list such as 4-7")
        chosen |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not chosen:
        raise UsageError(f"--cores {text}: no core in it")
    return sorted(chosen)


def mask(cores: list[int]) -> str:
    """For taskset: hexadecimal, bit i for core i."""
    return f"{sum(1 << core for core in cores):x}"
