"""Our own folder on the device: every remote path is made here, and none leads outside.

``/data/local/tmp/mobilevd-LABEL`` holds a marker file. A folder of that name without the marker is
somebody else's: it is neither filled nor removed.
"""

from __future__ import annotations

import getpass
import re
from pathlib import PurePosixPath

from ..errors import UsageError
from .connection import Device
from .errors import DeviceError, NotReadyError

PARENT = PurePosixPath("/data/local/tmp")  # what adb's shell may write and execute
PREFIX = "mobilevd-"
MARKER = ".mobilevd-folder"
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_NAME_BYTES, _PATH_BYTES = 255, 1000  # the file system's, and (1024) adb's


class DeviceFolder:
    """``label`` tells users of a shared phone apart; by default it is the user's name."""

    def __init__(self, device: Device, label: str | None = None) -> None:
        label = own_label() if label is None else label
        if not _LABEL.fullmatch(label):
            raise UsageError(f"{label!r} is no name for a folder: use a to z, 0 to 9 and -")
        self.device = device
        self.path = str(PARENT / (PREFIX + label))

    def at(self, relative: str) -> str:
        """The device path of something in the folder; UsageError if it would lie outside.

        Any other characters are allowed: quotes, spaces and newlines are names like others.
        """
        parts = relative.split("/")
        try:
            too_long = len(f"{self.path}/{relative}".encode()) > _PATH_BYTES or any(
                len(part.encode()) > _NAME_BYTES for part in parts
            )
        except UnicodeEncodeError:
            raise UsageError(f"{relative!r} is no UTF-8: rename it") from None
        if too_long:
            raise UsageError(f"{relative[:60]!r}… is too long a path for the device: shorten it")
        if "\0" in relative or any(part in ("", ".", "..") for part in parts):
            raise UsageError(f"{relative!r} leads outside {self.path}: use a path inside it")
        return f"{self.path}/{relative}"

    def is_ours(self) -> bool:
        """It is there, is no link, and has our marker."""
        test = ["test", "-d", self.path, "-a", "!", "-L", self.path, "-a", "-f", self._marker]
        return self.device.shell(test, check=False).code == 0

    def create(self) -> None:
        """Makes it if need be. DeviceError if something without our marker is in its place."""
        if self.is_ours():
            return
        # Left empty by a run that ended between the next two commands; else rmdir fails.
        self.device.shell(["rmdir", self.path], check=False)
        made = self.device.shell(["mkdir", self.path], check=False)
        if made.code and b"File exists" in made.stderr:
            raise DeviceError(
                f"{self.device.serial}: {self.path} is not ours (no {MARKER} in it): move it away, "
                "or choose another folder by --folder"
            )
        if made.code:
            raise NotReadyError(f"{self.device.serial}: no {self.path} ({made.reason})")
        self.device.push_bytes(
            b"Made by mobilevd device; mobilevd device clean removes it.\n", self._marker
        )

    def make(self, relative: str) -> str:
        """A folder inside, with those above it; returns its device path."""
        path = self.at(relative)
        self.device.shell(["mkdir", "-p", path])
        return path

    def clean(self) -> bool:
        """Removes the folder and all in it, if it is ours; else False and nothing happens."""
        if not self.is_ours():
            return False
        self.device.shell(["rm", "-rf", self.path], timeout=300)
        return True

    @property
    def _marker(self) -> str:
        return f"{self.path}/{MARKER}"


def own_label() -> str:
    """The user's name, in the characters that a label may have."""
    try:
        name = getpass.getuser().lower()
    except (KeyError, OSError):  # no such user, as in some containers
        name = ""
    return re.sub(r"[^a-z0-9]+", "-", name)[:32].strip("-") or "user"


def folders(device: Device) -> list[DeviceFolder]:
    """All that carry our marker, whoever made them."""
    done = device.shell(["find", str(PARENT), "-maxdepth", "2", "-name", MARKER], check=False)
    found = []
    for line in done.text.splitlines():
        label = PurePosixPath(line).parent.name.removeprefix(PREFIX)
        if _LABEL.fullmatch(label):
            folder = DeviceFolder(device, label)
            if folder._marker == line and folder.is_ours():
                found.append(folder)
    return found
