"""Errors that more than one room raises, and the exit codes of the command line; nothing is
imported, so anyone may import this."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """How ``mobilevd`` ends. A CI server may retry on DEVICE, and must not on FAILED_BAR."""

    OK = 0
    BAD_DATA = 1  # a damaged bundle or picture, a full disk on this computer, NaN
    USAGE = 2  # a wrong flag or argument
    DEVICE = 3  # phone trouble: none, gone, hung, full, of another ABI, a process killed
    FAILED_BAR = 4  # it ran, and a figure missed its bar or fell behind its baseline
    STOPPED = 130  # Ctrl-C


class UsageError(ValueError):
    """A wrong argument, as opposed to bad data: the command line ends with exit code 2.

    The C++ runtime's binding raises this very class, too.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE
