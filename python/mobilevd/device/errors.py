"""What goes wrong with a phone. Each message is one line: what happened, and what to do."""

from __future__ import annotations

from typing import ClassVar

from ..errors import ExitCode


class DeviceError(RuntimeError):
    """Trouble with adb or a device, as opposed to bad data or a failed bar: exit code 3."""

    exit_code: ClassVar[ExitCode] = ExitCode.DEVICE


class NotReadyError(DeviceError):
    """No adb, no such device, several without ``--serial``, unauthorised, offline, booting."""


class DisconnectedError(DeviceError):
    """It was there and went away in the middle of something."""


class DeviceTimeoutError(DeviceError):
    """No answer in time: the command or the link hangs."""


class KilledError(DeviceError):
    """The program was killed (exit code 137): on Android mostly for want of memory."""


class StorageFullError(DeviceError):
    """No room on the device."""


class WrongAbiError(DeviceError):
    """The device cannot execute what was to be pushed."""


class DamagedError(DeviceError):
    """What arrived is not what was sent: other bytes, or an answer that makes no sense."""


class CommandFailedError(DeviceError):
    """A command that should succeed on the device did not."""
