"""The runner on a device: what it needs is pushed, it is started, what it made is pulled."""

from __future__ import annotations

import secrets
import signal
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ExitCode
from .adb import Finished
from .connection import Device
from .cores import mask
from .errors import (
    CommandFailedError,
    DamagedError,
    DeviceError,
    DeviceTimeoutError,
    KilledError,
    NotReadyError,
    StorageFullError,
)
from .folder import DeviceFolder
from .package import Package
from .push import Report, push_bundle, push_package, push_picture
from .results import Result, parse_result

if TYPE_CHECKING:
    from ..runtime.video import Frames

TIMEOUT = 600.0  # seconds that one start of the runner may take

# $0: a file for the process's number, so that a runner that hangs can be ended. Not by timeout(1):
# toybox's (0.8.9) loses the exit code of a program that ends at once.
_START = 'echo $$ > "$0" && exec env "$@"'
# $0: a run's folder. Only a process that has it among its arguments is the runner.
_END = (
    'pid=$(cat "$0/pid" 2>/dev/null) && grep -qF "$0/" "/proc/$pid/cmdline" 2>/dev/null && '
    'kill -9 "$pid"; rm -rf "$0"'
)


class RunnerError(RuntimeError):
    """The runner itself refused; ``exit_code`` is its own: 1 for bad data, 2 for bad usage."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = ExitCode(exit_code)


@dataclass(frozen=True)
class Sampling:
    """What ``mobilevd generate`` takes, too; None leaves it to the bundle or the runner."""

    seed: int = 0
    threads: int | None = None
    steps: int | None = None
    fps: float | None = None
    motion_bucket: float | None = None
    noise_aug: float | None = None
    max_memory_mb: int | None = None

    def flags(self) -> list[str]:
        given = {name: value for name, value in vars(self).items() if value is not None}
        return [w for n, v in given.items() for w in (f"--{n.replace('_', '-')}", f"{v}")]


@dataclass(frozen=True)
class Installed:
    """On a device and verified; the paths are the device's."""

    folder: DeviceFolder
    runner: str
    bundle: str
    picture: str
    cache: str  # the runner's XDG_CACHE_HOME: packed weights outlive a run, and no push cleans it

    @property
    def device(self) -> Device:
        return self.folder.device


def install(
    folder: DeviceFolder,
    package: Package,
    bundle: Path | None,
    picture: Path,
    report: Report | None = None,
) -> Installed:
    """Pushes what changed. Without ``bundle``, the package's own is meant."""
    pushed = push_package(folder, package, report)
    if bundle is not None:
        there = push_bundle(folder, bundle, report).path
    else:
        there = f"{pushed.path}/{package.bundle}"
    return Installed(
        folder,
        f"{pushed.path}/{package.runner}",
        there,
        push_picture(folder, picture),
        folder.make("cache"),
    )


@contextmanager
def run_folder(installed: Installed) -> Iterator[str]:
    """A new folder on the device for what one command makes; at the end it is removed, and a runner
    that still works on it is ended, as well as it goes."""
    relative = f"runs/{secrets.token_hex(6)}"
    path = installed.folder.make(relative)
    try:
        yield path
    finally:
        with suppress(DeviceError):  # it may be gone; mobilevd device clean takes the rest
            installed.device.shell(["sh", "-c", _END, path])


def start_runner(
    installed: Installed,
    run: str,
    flags: Sequence[str],
    timeout: float = TIMEOUT,
    cores: list[int] | None = None,
) -> Result:
    """One clip into ``run``/frames; its result. Earlier frames there are replaced.

    RunnerError in the runner's own words; DeviceError when it was killed, hung or could not start.
    """
    result = f"{run}/result.json"
    command = [installed.runner, "--bundle", installed.bundle, "--image", installed.picture]
    command += ["--output", f"{run}/frames", "--json", result, *flags]
    if cores is not None:
        command = ["taskset", mask(cores), *command]
    command = [f"XDG_CACHE_HOME={installed.cache}", *command]
    device = installed.device
    try:
        done = device.shell(["sh", "-c", _START, f"{run}/pid", *command], timeout, check=False)
    except KilledError:  # in terms of what the user started, not of our command line
        raise KilledError(
            f"{device.serial}: the runner was killed (exit code 137), probably for want of memory: "
            "close apps, use a smaller bundle or precision"
        ) from None
    except DeviceTimeoutError:
        raise DeviceTimeoutError(
            f"{device.serial}: the runner did not end within {timeout:g} s: give it longer by "
            "--timeout, or see whether the device hangs"
        ) from None
    if done.code:
        raise _failure(device, done)
    text = device.read(result)
    try:
        return parse_result(text)
    except ValueError as error:
        raise DamagedError(
            f"{device.serial}: the runner's result is garbled: {error}: run again, and push again "
            "if it stays so"
        ) from None


def _failure(device: Device, done: Finished) -> RuntimeError:
    said = done.stderr.decode(errors="replace")
    lines = [line for line in said.splitlines() if line.startswith("mobilevd_runner: ")]
    reason = lines[-1].removeprefix("mobilevd_runner: ") if lines else done.reason
    where = device.serial
    if "No space left on device" in said:
        return StorageFullError(
            f"{where} is full ({reason}): free space on it, or mobilevd device clean"
        )
    if done.code in (1, 2) and lines:
        return RunnerError(f"{where}: {reason}", done.code)
    if done.code in (126, 127):
        return NotReadyError(f"{where} cannot start the runner ({reason}): is the package for it?")
    if done.code > 128:
        with suppress(ValueError):
            name = signal.Signals(done.code - 128).name
            reason = f"it ended by {name}; {reason}"
    return CommandFailedError(f"{where}: the runner failed ({done.code}): {reason}")


def pull_frames(installed: Installed, run: str) -> Frames:
    """The frames that the runner left in ``run``, uint8 [F, H, W, 3].

    They travel as one archive: one transfer and one sha256, not one a frame.
    """
    from ..runtime.video import read_frames

    device, archive = installed.device, f"{run}/frames.tar"
    device.shell(["tar", "-C", run, "-cf", archive, "frames"], timeout=TIMEOUT)
    with tempfile.TemporaryDirectory(prefix="mobilevd-") as scratch:
        pulled = Path(scratch) / "frames.tar"
        device.pull_file(archive, pulled)
        try:
            with tarfile.open(pulled) as tar:
                tar.extractall(scratch, filter="data")
            return read_frames(Path(scratch, "frames"))
        except (tarfile.TarError, OSError, ValueError) as error:
            raise DamagedError(f"{device.serial}: its frames are garbled ({error})") from None
