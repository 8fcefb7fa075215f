"""Errors that more than one room raises; nothing is imported, so anyone may import this."""

from __future__ import annotations


class UsageError(ValueError):
    """A wrong argument, as opposed to bad data: the command line ends with exit code 2.

    The C++ runtime's binding raises this very class, too.
    """
