"""The inside of an emulated device: a root folder with a real shell and tools, in namespaces.

Commands run really, by mksh (Android's shell) and toybox (Android's tools); aarch64 programs run
under qemu. What only Android has (getprop, dumpsys, pm) is a script that tells a file, as is what
differs from this machine in /proc and /sys.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# Of those that Android has; test and [ are the shell's own there, too.
_TOOLS = (
    "cat chmod chown cp cut date df dirname du echo env find getconf grep head id kill ln ls mkdir "
    "mktemp mv nproc od printf ps pwd readlink realpath rm rmdir sed seq sha256sum sleep sort stat "
    "strings sync tail tar taskset tee timeout touch true truncate uname uptime wc which xargs yes"
)

_NSENTER = shutil.which("nsenter") or "/usr/bin/nsenter"

_GETPROP = """#!/system/bin/sh
[ $# -gt 0 ] || exec cat /emulated/properties
while IFS= read -r line; do
  [[ $line = "[$1]: ["* ]] && line=${line#*: \\[} && echo "${line%\\]}"
done < /emulated/properties
true
"""
_TELLS = '#!/system/bin/sh\nexec cat "/emulated/${0##*/} $*" 2>/dev/null\n'


@dataclass
class Phone:
    """What an emulated device says of itself; the defaults are a Snapdragon 8 Gen 3's."""

    model: str = "Emulated 8 Gen 3"
    soc: str = "SM8650"
    abis: str = "arm64-v8a"
    android: str = "15"
    cores_khz: tuple[int, ...] = (2265600,) * 2 + (3148800,) * 5 + (3302400,)
    memory_kb: int = 11_500_000
    available_kb: int = 6_800_000
    vulkan: str = "1.3.0"
    battery_percent: int = 80
    battery_tenths: int = 285  # of a degree Celsius
    cpu_millidegrees: int = 38_000
    throttling: int = 0
    page_size: int = 4096
    properties: dict[str, str] = field(default_factory=dict)

    def all_properties(self) -> dict[str, str]:
        return {
            "ro.kernel.qemu": "1",  # as Android's own emulator says
            "ro.build.version.release": self.android,
            "ro.build.version.sdk": str(20 + int(self.android)),
            "ro.product.model": self.model,
            "ro.product.manufacturer": "MobileVD",
            "ro.product.cpu.abi": self.abis.split(",")[0],
            "ro.product.cpu.abilist": self.abis,
            "ro.soc.manufacturer": "QTI",
            "ro.soc.model": self.soc,
            "sys.boot_completed": "1",
            **self.properties,
        }


class DeviceRoot:
    """``folder`` is new; ``data_bytes`` is the size of the device's writable storage."""

    def __init__(self, folder: Path, phone: Phone, data_bytes: int) -> None:
        _lay_out(folder, phone)
        script = Path(__file__).with_name("root.sh")
        qemu = shutil.which("qemu-aarch64-static") or "/usr/bin/qemu-aarch64-static"
        spaces = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]
        self._outer = subprocess.Popen(
            [*spaces, "--kill-child=KILL", "sh", str(script), str(folder), str(data_bytes), qemu],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._outer.stdout
        if self._outer.stdout.readline() != b"ready\n":
            raise RuntimeError(f"no namespaces for an emulated device: exit {self._outer.wait()}")
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self._pid = int(children.read_text())

    def inside(self, path: str) -> Path:
        """A device path as this process sees it; ``..`` does not lead out."""
        clean = posixpath.normpath("/" + path).lstrip("/")
        return Path(f"/proc/{self._pid}/root") / clean

    def command(self, line: str) -> list[str]:
        """What runs ``line`` as ``adb shell`` would."""
        pid = str(self._pid)
        enter = [_NSENTER, "--target", pid, "--user", "--mount", "--pid", "--root", "--wd"]
        return [*enter, "--", "/system/bin/sh", "-c", line]

    def set_file(self, path: str, text: str) -> None:
        """Rewrites, in place, a file that tells of the device."""
        self.inside(path).write_text(text)

    def fill(self) -> None:
        """Leaves no room in the writable storage."""
        with self.inside("/data/ballast").open("wb") as ballast:
            free = os.fstatvfs(ballast.fileno())
            with suppress(OSError):  # what there was is gone at any rate
                os.posix_fallocate(ballast.fileno(), 0, free.f_bavail * free.f_frsize)

    def empty(self) -> None:
        self.inside("/data/ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """Ends whatever still runs on the device."""
        with self._outer as outer:
            assert outer.stdin
            outer.stdin.close()


def _lay_out(root: Path, phone: Phone) -> None:
    for name in ("system/bin", "dev", "proc", "data", "tmp", "emulated", "sys"):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("system/bin")
    shutil.copy("/bin/mksh-static", root / "system/bin/sh")
    _copy_with_libraries(Path("/bin/toybox"), root)
    for tool in _TOOLS.split():
        (root / "system/bin" / tool).symlink_to("toybox")
    for name, script in {"getprop": _GETPROP, "dumpsys": _TELLS, "pm": _TELLS}.items():
        (root / "system/bin" / name).write_text(script)
        (root / "system/bin" / name).chmod(0o755)
    for name, text in _files(phone).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _files(phone: Phone) -> dict[str, str]:
    major, minor, patch = (int(n) for n in phone.vulkan.split("."))
    vulkan = major << 22 | minor << 12 | patch
    files = {
        "emulated/properties": "".join(
            f"[{k}]: [{v}]\n" for k, v in phone.all_properties().items()
        ),
        "emulated/meminfo": f"MemTotal: {phone.memory_kb} kB\nMemFree: 300000 kB\n"
        f"MemAvailable: {phone.available_kb} kB\n",
        "emulated/cpuinfo": "".join(
            f"processor\t: {i}\nFeatures\t: fp asimd asimdhp asimddp i8mm\n\n"
            for i in range(len(phone.cores_khz))
        ),
        "emulated/dumpsys battery": "Current Battery Service state:\n  USB powered: true\n"
        f"  status: 2\n  health: 2\n  level: {phone.battery_percent}\n  scale: 100\n"
        f"  temperature: {phone.battery_tenths}\n",
        "emulated/dumpsys thermalservice": f"Thermal Status: {phone.throttling}\n",
        "emulated/pm list features": "feature:android.hardware.wifi\n"
        f"feature:android.hardware.vulkan.version={vulkan}\n",
        "sys/devices/system/cpu/possible": f"0-{len(phone.cores_khz) - 1}\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-0-0\n",
        "sys/class/thermal/thermal_zone0/temp": f"{phone.cpu_millidegrees}\n",
        "sys/class/thermal/thermal_zone1/type": "battery\n",
        "sys/class/thermal/thermal_zone1/temp": f"{phone.battery_tenths * 100}\n",
    }
    for i, khz in enumerate(phone.cores_khz):
        files[f"sys/devices/system/cpu/cpu{i}/cpufreq/cpuinfo_max_freq"] = f"{khz}\n"
    return files


def _copy_with_libraries(program: Path, root: Path) -> None:
    shutil.copy(program, root / "system/bin" / program.name)
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", listed):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
