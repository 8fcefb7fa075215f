"""One device: commands, files and properties, each over the adb binary.

The device's own shell cannot be avoided: adb hands it one string. :meth:`Device.shell` takes a list
and quotes each argument, so that no name or path is ever read as shell syntax.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..whole_files import whole_file
from .adb import Finished, adb, devices, shown, transfer_time, what_to_do
from .batches import batches
from .errors import (
    CommandFailedError,
    DamagedError,
    DeviceError,
    DisconnectedError,
    KilledError,
    NotReadyError,
    StorageFullError,
)

LINE_BYTES = 32_000  # of a command: adb's own limit is 64 KB
KILLED = 137  # 128 + SIGKILL

_SHA256 = re.compile("[0-9a-f]{64}")
# What adb says of a transfer when the link is the reason; "remote …" would be the device's answer.
_GONE = re.compile(
    r"device '.*' not found|device offline|device unauthorized|device still|error: closed"
    r"|no devices|connect failed|couldn't read from device|Connection reset|protocol fault"
    r"|[Bb]roken pipe|no response|EOF|failed to (?:read|write)"
)


class Device:
    """One device, by its serial. Nothing is asked of it before a method is called."""

    def __init__(self, serial: str) -> None:
        if not serial or serial.startswith("-") or "\0" in serial:
            raise UsageError(f"{serial!r} is no serial: see mobilevd device list")
        self.serial = serial

    def __repr__(self) -> str:
        return f"Device({self.serial!r})"

    def adb(
        self, *arguments: str, timeout: float | None = None, stdin: bytes | None = None
    ) -> Finished:
        """adb with this device's serial; any exit code is returned."""
        return adb("-s", self.serial, *arguments, timeout=timeout, stdin=stdin)

    def state(self) -> str:
        """adb's word: ``device`` (ready), ``offline``, ``unauthorized``, …; ours is ``absent``."""
        for row in devices():
            if row["serial"] == self.serial:
                return str(row["state"])
        return "absent"

    def require_ready(self) -> None:
        """NotReadyError, with what to do, unless the device takes commands."""
        state = self.state()
        if state != "device":
            raise NotReadyError(f"{self.serial} {what_to_do(state)}")

    def shell(
        self,
        arguments: Sequence[str],
        timeout: float | None = None,
        stdin: bytes | None = None,
        check: bool = True,
        cwd: str | None = None,
    ) -> Finished:
        """Runs a program on the device, each argument quoted for its shell.

        With ``check`` a non-zero exit code raises CommandFailedError (StorageFullError where the
        command said so). Without, it is returned; but a lost link, a killed program (137) and a
        timeout always raise.
        """
        return self._run([arguments], timeout, stdin, check, cwd)

    def shell_all(self, commands: Sequence[Sequence[str]]) -> None:
        """Several programs, one after another, in as few trips as the length of a line allows; the
        first that fails raises."""
        for some in batches(commands, lambda words: len(shlex.join(words).encode()), LINE_BYTES):
            self._run(some, None, None, True, None)

    def shell_on(
        self, arguments: Sequence[str], paths: Sequence[str], timeout: float | None = None
    ) -> list[tuple[list[str], Finished]]:
        """A program with ``paths`` as its last arguments, as many at a time as a line takes: each
        time's paths with what it answered."""
        trips = batches(paths, lambda path: len(shlex.quote(path).encode()), LINE_BYTES)
        return [(some, self.shell([*arguments, *some], timeout)) for some in trips]

    def append(self, part: str, whole: str, timeout: float | None = None) -> None:
        """Moves the bytes of one file on the device to the end of another."""
        line = f"cat {shlex.quote(part)} >> {shlex.quote(whole)} && rm -f {shlex.quote(part)}"
        self._finish(line, f"append to {whole}", timeout, None, True)

    def _run(
        self,
        commands: Sequence[Sequence[str]],
        timeout: float | None,
        stdin: bytes | None,
        check: bool,
        cwd: str | None,
    ) -> Finished:
        words = [word for arguments in commands for word in arguments] + [cwd or ""]
        if not all(commands) or any("\0" in word for word in words):
            raise UsageError("a command for the device has at least one word, and no NUL in any")
        first = [f"cd {shlex.quote(cwd)}"] if cwd is not None else []
        line = " && ".join(first + [shlex.join(arguments) for arguments in commands])
        return self._finish(line, shown(commands[0]), timeout, stdin, check)

    def _finish(
        self, line: str, what: str, timeout: float | None, stdin: bytes | None, check: bool
    ) -> Finished:
        # adb ends with 0 when the link is lost in the middle. Only a last line that the device's
        # shell wrote tells that all was done, and all of the output came.
        mark = secrets.token_hex(8)
        done = self.adb("shell", f"{line}; echo {mark}$?", timeout=timeout, stdin=stdin)
        output, found, told = done.stdout.rpartition(mark.encode())
        finished = bool(found) and told.strip().isdigit()
        if finished:
            done = Finished(int(told), output, done.stderr)
        if done.code == KILLED:
            raise KilledError(
                f"{self.serial}: {what} was killed (exit code 137), probably for want of memory: "
                "close apps or use a smaller bundle"
            )
        if not finished:
            raise self._unfinished(done, what)
        if check and done.code:
            raise self._failed(done, what)
        return done

    def sha256(self, remote: str, timeout: float | None = None) -> str:
        """Of a file on the device, computed there."""
        return self.sha256_of_all([remote], timeout)[0]

    def sha256_of_all(self, remotes: Sequence[str], timeout: float | None = None) -> list[str]:
        """The same for several, in order."""
        digests = []
        for some, done in self.shell_on(["sha256sum", "-b"], remotes, timeout):
            found = done.text.split()
            if len(found) != len(some) or not all(map(_SHA256.fullmatch, found)):
                raise DamagedError(
                    f"{self.serial}: sha256sum answered {shown([done.text])!r}: try again; if it "
                    "stays so, use another cable or port"
                )
            digests += found
        return digests

    def push_file(self, local: Path, remote: str, executable: bool = False) -> str:
        """Sends a file under a temporary name, compares sha256 on the device, then renames.

        Returns the sha256. ``remote``'s folder exists; nothing of it is seen on any error.
        """
        expected = file_sha256(local)
        temporary = _temporary(remote)
        self._push([local], temporary)
        size = local.stat().st_size
        self._same(expected, temporary, transfer_time(size), f"{local.name!r} arrived")
        mode = "755" if executable else "644"
        self.shell_all([["chmod", mode, temporary], ["mv", "-f", temporary, remote]])
        return expected

    def push_into(self, files: Sequence[Path], folder: str) -> None:
        """Several files into a folder on the device, under their names here; nothing is verified
        and a lost link leaves a part of one, so ``folder`` is one that nobody reads."""
        self._push(files, folder + "/")

    def _push(self, files: Sequence[Path], remote: str) -> None:
        timeout = transfer_time(sum(file.stat().st_size for file in files))
        done = self.adb("push", *(str(file.absolute()) for file in files), remote, timeout=timeout)
        if done.code:
            what = (
                f"push of {files[0].name!r}" if len(files) == 1 else f"push of {len(files)} files"
            )
            raise self._transfer_failed(done, what)

    def push_bytes(self, data: bytes, remote: str) -> str:
        """:meth:`push_file` of bytes."""
        with tempfile.NamedTemporaryFile(prefix="mobilevd-") as file:
            file.write(data)
            file.flush()
            return self.push_file(Path(file.name), remote)

    def pull_file(self, remote: str, local: Path) -> str:
        """Fetches a file, compares sha256 with the device's, then gives it its name.

        Returns the sha256; an older ``local`` stays on any error.
        """
        size = self.shell(["stat", "-c", "%s", remote]).text.strip()
        if not size.isdigit():
            raise DamagedError(f"{self.serial}: stat answered {shown([size])!r}: try again")
        timeout = transfer_time(int(size))
        with whole_file(local.absolute()) as temporary:
            done = self.adb("pull", remote, str(temporary), timeout=timeout)
            if done.code:
                raise self._transfer_failed(done, f"pull of {remote!r}")
            found = file_sha256(temporary)
            self._same(found, remote, timeout, f"{local.name!r} was pulled")
        return found

    def read(self, remote: str, timeout: float | None = None) -> bytes:
        """A small file's bytes."""
        return self.shell(["cat", remote], timeout).stdout

    def properties(self) -> dict[str, str]:
        """Android's system properties (``ro.product.cpu.abi``, …)."""
        text = self.shell(["getprop"]).text
        return dict(re.findall(r"^\[(.*?)\]: \[(.*?)\]\r?$", text, re.MULTILINE | re.DOTALL))

    def _same(self, digest: str, remote: str, timeout: float | None, what: str) -> None:
        if self.sha256(remote, timeout) != digest:
            raise DamagedError(
                f"{self.serial}: {what} damaged (another sha256): try again; if it stays so, use "
                "another cable or port"
            )

    def _transfer_failed(self, done: Finished, what: str) -> DeviceError:
        # adb 29 says it on either stream, between lines of progress; and says nothing where a pull
        # is cut off.
        errors = re.findall(r"(?m)^(?:adb: )?error: .*", done.text + done.stderr.decode("latin-1"))
        said = Finished(done.code, b"", "\n".join(errors).encode())
        if not errors or _GONE.search(errors[-1]):
            return self._lost(said, what)
        return self._failed(said, what)

    def _unfinished(self, done: Finished, what: str) -> DeviceError:
        """The answer lacks its end: the link was lost, or what came is noise."""
        state = self.state()
        if state == "device" and done.stdout and not done.code:
            return DamagedError(
                f"{self.serial}: the answer to {what} is cut off or garbled: try again; if it "
                "stays so, use another cable or port"
            )
        if state == "unauthorized":
            return NotReadyError(f"{self.serial} {what_to_do(state)}")
        return self._lost(done, what)

    def _failed(self, done: Finished, what: str) -> DeviceError:
        if b"No space left on device" in done.stderr + done.stdout:
            return StorageFullError(
                f"{self.serial} is full ({what}): free space on it, or mobilevd device clean"
            )
        return CommandFailedError(f"{self.serial}: {what} failed ({done.code}): {done.reason}")

    def _lost(self, done: Finished, what: str) -> DeviceError:
        said = f" ({done.reason})" if done.stderr.strip() else ""
        return DisconnectedError(
            f"{self.serial} went away during {what}{said}: check cable and screen lock, wait if it "
            "reboots, then run the same command again"
        )


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _temporary(remote: str) -> str:
    """A name in the same folder, short whatever the file's own length."""
    folder, _, name = remote.rpartition("/")
    return f"{folder}/.incoming-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
