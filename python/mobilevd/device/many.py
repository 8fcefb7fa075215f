"""One piece of work on several devices at once; a device in trouble does not spoil the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import ExitCode
from .connection import Device
from .errors import DeviceError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of one device: ``value``, or ``error`` as a line and its exit code."""

    serial: str
    seconds: float
    value: Value | None = None
    error: str | None = None
    code: ExitCode = ExitCode.OK


def on_each(devices: Sequence[Device], work: Callable[[Device], Value]) -> list[Outcome[Value]]:
    """Runs ``work`` on every device, in threads, after seeing that the device is ready.

    In the order given. Device trouble, bad data and failed bars become outcomes; anything else is a
    fault of ours and is raised.
    """

    def one(device: Device) -> Outcome[Value]:
        start = time.monotonic()
        try:
            device.require_ready()
            value = work(device)
            return Outcome(device.serial, time.monotonic() - start, value)
        except (DeviceError, ValueError, OSError, RuntimeError) as error:
            code = getattr(error, "exit_code", ExitCode.BAD_DATA)
            return Outcome(device.serial, time.monotonic() - start, error=str(error), code=code)

    with ThreadPoolExecutor(max_workers=max(1, len(devices))) as pool:
        return list(pool.map(one, devices))


def exit_code(outcomes: Sequence[Outcome[Value]]) -> ExitCode:
    """Of the whole command: bad usage, bad data, then a failed bar, then device trouble.

    A failed bar is a finding and stays one, whatever else failed; trouble may pass on a rerun.
    """
    order = (ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.FAILED_BAR, ExitCode.DEVICE)
    codes = {outcome.code for outcome in outcomes}
    return next((code for code in order if code in codes), ExitCode.OK)
