"""What can be made to go wrong. Each fault happens once: a rerun finds a sound device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Faults:
    """Fields that name a command are a part of its line, as the client sent it. Bytes are those of
    all files sent to the device since :meth:`begin`."""

    disconnect_after: int | None = None  # bytes
    full_after: int | None = None  # bytes; from then on the storage is full, until emptied
    damage_after: int | None = None  # that byte arrives as another
    disconnect_sent: int | None = None  # bytes of a file sent to the client
    disconnect: str | None = None  # the link ends in the middle of this command
    hang: str | None = None  # this command never answers
    kill: str | None = None  # this command's processes get SIGKILL
    garble: str | None = None  # this command's output arrives as noise
    reboot: str | None = None  # this command is cut off and the device is gone for away_seconds
    away_seconds: float = 0.5
    bytes_per_second: int | None = None  # a slow link, until set back
    received: int = 0

    def begin(self, **fields: object) -> None:
        """A sound device but for these faults, and counting from zero."""
        self.__dict__.update(Faults(**fields).__dict__)  # type: ignore[arg-type]

    def takes(self, name: str, line: str) -> bool:
        """Whether the fault ``name`` befalls this command; it is spent then."""
        part = getattr(self, name)
        if part is None or part not in line:
            return False
        setattr(self, name, None)
        return True

    def reaches(self, name: str, count: int) -> bool:
        """Whether the fault ``name`` befalls a file after ``count`` bytes; it is spent then."""
        limit = getattr(self, name)
        if limit is None or count < limit:
            return False
        setattr(self, name, None)
        return True
