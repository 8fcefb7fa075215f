"""The same work on several devices at once; what fails on one does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import ExitCode
from .connection import Device

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of one device: ``value``, or ``error`` with its one line."""

    serial: str
    seconds: float
    value: T | None = None
    error: Exception | None = None

    @property
    def code(self) -> ExitCode | int:
        if self.error is None:
            return ExitCode.OK
        return getattr(self.error, "exit_code", ExitCode.BAD_DATA)


def on_each(devices: Sequence[Device], work: Callable[[Device], T]) -> list[Outcome[T]]:
    """``work`` for each device, one thread each (adb does the work, Python waits); in order.

    Errors with a message for the user become outcomes; others (bugs) are raised. Ctrl-C ends the
    adb processes of all of them, and then the command.
    """

    def one(device: Device) -> Outcome[T]:
        start = time.monotonic()
        try:
            value = work(device)
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            return Outcome(device.serial, time.monotonic() - start, error=error)
        return Outcome(device.serial, time.monotonic() - start, value)

    if len(devices) == 1:
        return [one(devices[0])]
    with ThreadPoolExecutor(len(devices), thread_name_prefix="device") as pool:
        try:
            return list(pool.map(one, devices))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def exit_code(outcomes: Sequence[Outcome[T]], bars_held: bool = True) -> ExitCode | int:
    """Device trouble (3) wins: figures are missing, and a rerun may tell. Then bad data (1) and
    usage (2), which no rerun cures; then a failed bar (4)."""
    codes = {outcome.code for outcome in outcomes} - {ExitCode.OK}
    for code in (ExitCode.DEVICE, ExitCode.BAD_DATA, ExitCode.USAGE):
        if code in codes:
            return code
    if codes:
        return max(codes)
    return ExitCode.OK if bars_held else ExitCode.FAILED_BAR
