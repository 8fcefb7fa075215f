"""Which devices are meant, and one piece of work on all of them at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Generic, TypeVar

from ..errors import ExitCode
from .adb import devices
from .connection import Device
from .errors import DeviceError, NotReadyError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of one device: ``value``, or ``error`` as a line and its exit code."""

    serial: str
    seconds: float
    value: Value | None = None
    error: str | None = None
    code: ExitCode = ExitCode.OK


def choose(
    serials: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> list[Device]:
    """The devices meant by ``--serial``, else ``ANDROID_SERIAL``, else the only one attached.

    NotReadyError if none or several are attached and none was named. Those named are not asked yet:
    with several, one that is missing must not spoil the others (:meth:`Device.require_ready`).
    """
    variables = os.environ if environment is None else environment
    named = list(serials) or [s for s in [variables.get("ANDROID_SERIAL", "")] if s]
    if named:
        return [Device(serial) for serial in dict.fromkeys(named)]
    attached = devices()
    if not attached:
        raise NotReadyError(
            "no device is attached: plug one in with USB debugging on, or adb connect HOST:PORT"
        )
    if len(attached) > 1:
        found = ", ".join(f"{row['serial']} ({row['state']})" for row in attached)
        raise NotReadyError(f"several devices are attached, choose by --serial: {found}")
    return [Device(attached[0]["serial"])]


def on_each(
    chosen: Sequence[Device],
    work: Callable[[Device], Value],
    stopping: Event | None = None,
) -> list[Outcome[Value]]:
    """Runs ``work`` on every device, in threads, after seeing that the device is ready; one in
    trouble does not spoil the others.

    In the order given. Device trouble, bad data and failed bars become outcomes; anything else is a
    fault of ours and is raised. Ctrl-C sets ``stopping``, for long work to end early by itself:
    threads are waited for.
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

    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        try:
            return list(pool.map(one, chosen))
        except KeyboardInterrupt:
            if stopping is not None:
                stopping.set()
            raise


def exit_code(outcomes: Sequence[Outcome[Value]]) -> ExitCode:
    """Of the whole command: bad usage, bad data, then a failed bar, then device trouble.

    A failed bar is a finding and stays one, whatever else failed; trouble may pass on a rerun.
    """
    order = (ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.FAILED_BAR, ExitCode.DEVICE)
    codes = {outcome.code for outcome in outcomes}
    return next((code for code in order if code in codes), ExitCode.OK)
