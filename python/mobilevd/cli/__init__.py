"""The command line ``mobilevd``: one sub-command, one call."""

from .main import main

__all__ = ["main"]
