"""The adb binary, called with argument lists and a timeout; never through this computer's shell."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import DeviceTimeoutError, NotReadyError

TIMEOUT = 30.0  # seconds, for commands that answer at once
SLOWEST_LINK = 1e6  # bytes per second that a transfer is given time for

_STATES = {
    "unauthorized": "is not authorised: unlock it and accept this computer's key",
    "offline": "is offline: plug it in again, or adb reconnect",
    "absent": "is not attached: see mobilevd device list",
    "bootloader": "is in its bootloader: start Android (adb reboot)",
    "recovery": "is in recovery: start Android (adb reboot)",
    "sideload": "is in sideload: start Android (adb reboot)",
}


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit code and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def reason(self) -> str:
        """The last thing it said, on one line."""
        said = (self.stderr.strip() or self.stdout.strip()).decode(errors="replace")
        return " ".join(said.split())[-300:] or f"exit code {self.code}"


def adb(*arguments: str, timeout: float | None = None, stdin: bytes | None = None) -> Finished:
    """Runs adb. ``ANDROID_ADB_SERVER_PORT`` is adb's own affair.

    NotReadyError without adb, DeviceTimeoutError after ``timeout`` seconds (by default TIMEOUT; adb
    is ended then, and with it what it ran on the device). Any exit code is returned.
    """
    timeout = TIMEOUT if timeout is None else timeout
    binary = shutil.which("adb")
    if binary is None:
        raise NotReadyError("adb is not installed: apt-get install adb (Android platform-tools)")
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        done = subprocess.run([binary, *arguments], capture_output=True, timeout=timeout, **given)
    except subprocess.TimeoutExpired:
        raise DeviceTimeoutError(
            f"adb {shown(arguments)} did not answer within {timeout:g} s: is the device hung or "
            "the link slow? try again, or reboot it"
        ) from None
    return Finished(done.returncode, done.stdout, done.stderr)


def transfer_time(size: int) -> float:
    """Seconds that so many bytes are given before a link counts as hung."""
    return TIMEOUT + size / SLOWEST_LINK


def shown(arguments: Sequence[str]) -> str:
    """For a message: on one line, and not longer than one."""
    text = " ".join(" ".join(arguments).split())
    return text if len(text) <= 120 else text[:117] + "..."


def parse_devices(text: str) -> list[dict[str, Any]]:
    """``adb devices -l`` -> serial, state, model (empty where adb does not tell)."""
    rows = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or line.startswith(("List of devices", "*")):
            continue
        details = dict(w.split(":", 1) for w in words[2:] if ":" in w)
        rows.append({"serial": words[0], "state": words[1], "model": details.get("model", "")})
    return rows


def devices() -> list[dict[str, Any]]:
    """Serial, state and model of everything attached."""
    done = adb("devices", "-l")
    if done.code:
        raise NotReadyError(f"adb devices failed ({done.code}): {done.reason}")
    return parse_devices(done.text)


def what_to_do(state: str) -> str:
    """About a device in one of adb's states; empty for one that is ready."""
    if state == "device":
        return ""
    return _STATES.get(state, f"is in the state {state!r}: see adb devices")
