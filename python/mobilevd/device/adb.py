"""The adb binary, called with argument lists and a timeout; never through a shell."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any


class AdbError(RuntimeError):
    """adb is missing, failed or hung; the message says which and what to do."""


def adb(*arguments: str, timeout: float = 30.0) -> str:
    """Runs adb and returns its standard output. ``ANDROID_ADB_SERVER_PORT`` is adb's own affair."""
    binary = shutil.which("adb")
    if binary is None:
        raise AdbError("adb is not installed: apt-get install adb (Android platform-tools)")
    try:
        done = subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise AdbError(f"adb {' '.join(arguments)} did not answer within {timeout:.0f} s") from None
    if done.returncode:
        reason = done.stderr.strip() or done.stdout.strip()
        raise AdbError(f"adb {' '.join(arguments)} failed ({done.returncode}): {reason}")
    return done.stdout


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
    return parse_devices(adb("devices", "-l"))
