"""Whether a device is fit to run and measure clips, and what to do where it is not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping

from .connection import Device
from .cores import core_frequencies_khz, performance_cores
from .errors import DamagedError
from .findings import Finding, fail, ok, warn
from .folder import DeviceFolder
from .push import free_bytes, read_manifest
from .qnn_libraries import builds, htp_arch, htp_finding, libraries_finding
from .thermal import cpu_temperature_c

ABIS = ("arm64-v8a", "x86_64")  # what packages are made for (android_runner/pack.py)
LEAST_API = 30  # ANDROID_PLATFORM of the build
LEAST_VULKAN = (1, 1)  # of ExecuTorch's Vulkan backend
# Fail below what mini wants: 0.2 GB of either, and room to spare. Warn below what
# mobilevd-512x256 needs in fp16: 2.7 GB of memory; 3.3 GB of bundle, up to 1.8 of packed weights.
MEMORY_MB = (512, 3072)
STORAGE_MB = (200, 6000)
BATTERY_PERCENT = 20  # phones save power below
BATTERY_C = (38.0, 45.0)  # warn above, fail above: charging and clocks are cut
CPU_C = 60.0  # a phone at rest is below
# Android's levels of throttling, from PowerManager.THERMAL_STATUS_*.
_THROTTLING = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_UNKNOWN = "look by hand: adb shell"
Say = Callable[[int, int, str], None]


def examine(device: Device, folder: DeviceFolder, report: Say | None = None) -> list[Finding]:
    """All findings, in order; DeviceError only if the device itself goes away or hangs."""
    properties = device.properties()
    checks: dict[str, Callable[[], Finding | list[Finding]]] = {
        "system": lambda: _system(properties),
        "pages": lambda: _pages(device),
        "memory": lambda: _memory(device),
        "storage": lambda: _storage(device),
        "vulkan": lambda: _vulkan(device),
        "htp": lambda: _qnn(properties, folder),
        "cores": lambda: _cores(device),
        "battery": lambda: _battery(device),
        "temperature": lambda: _temperature(device),
        "package": lambda: _package(folder),
    }
    findings: list[Finding] = []
    for i, (name, check) in enumerate(checks.items()):
        if report:
            report(i, len(checks), name)
        try:
            found = check()
        except DamagedError as error:  # the others may still tell
            found = fail(name, "the answer is garbled", str(error))
        findings += found if isinstance(found, list) else [found]
    return findings


def _system(properties: Mapping[str, str]) -> list[Finding]:
    soc = properties.get("ro.soc.model") or properties.get("ro.board.platform", "")
    maker = properties.get("ro.soc.manufacturer", "")
    abis = (properties.get("ro.product.cpu.abilist") or "").split(",")
    android = properties.get("ro.build.version.release", "")
    api = properties.get("ro.build.version.sdk", "")
    known = [abi for abi in ABIS if abi in abis]
    listed = ", ".join(filter(None, abis)) or "unknown"
    return [
        ok("soc", f"{maker} {soc}".strip(), soc=soc)
        if soc
        else warn("soc", "unknown", f"{_UNKNOWN} getprop", soc=None),
        ok("abi", listed, abis=abis)
        if known
        else fail("abi", listed, f"packages are for {' and '.join(ABIS)}: use another device"),
        ok("android", f"{android} (API {api})", android=android, api=int(api))
        if api.isdigit() and int(api) >= LEAST_API
        else fail(
            "android",
            f"{android or 'unknown'} (API {api or 'unknown'})",
            f"API {LEAST_API} (Android 11) is needed: update it, or build with an older "
            "ANDROID_PLATFORM",
        ),
    ]


def _pages(device: Device) -> Finding:
    text = device.shell(["getconf", "PAGESIZE"], check=False).text.strip()
    if not text.isdigit():
        return warn("page size", "unknown", "a package with 16 KB alignment runs on any")
    return ok("page size", f"{int(text) // 1024} KB", page_bytes=int(text))


def _memory(device: Device) -> Finding:
    text = device.shell(["cat", "/proc/meminfo"], check=False).text
    sizes = {key: int(kb) / 1024 for key, kb in re.findall(r"(?m)^(\w+):\s+(\d+) kB", text)}
    if "MemAvailable" not in sizes:
        return warn("memory", "unknown", f"{_UNKNOWN} cat /proc/meminfo")
    free, total = sizes["MemAvailable"], sizes.get("MemTotal", 0.0)
    seen = f"{free / 1024:.1f} of {total / 1024:.1f} GB available"
    figures = {"available_mb": round(free), "total_mb": round(total)}
    advice = "close apps or reboot"
    if free < MEMORY_MB[0]:
        return fail("memory", seen, advice, **figures)
    if free < MEMORY_MB[1]:
        peaks = "for mobilevd-512x256: 2.7 GB in fp16, 5.4 in fp32"
        return warn("memory", seen, f"{advice} {peaks}", **figures)
    return ok("memory", seen, **figures)


def _storage(device: Device) -> Finding:
    free = free_bytes(device, "/data/local/tmp")
    if free is None:
        return warn("storage", "unknown", f"{_UNKNOWN} df /data/local/tmp")
    megabytes = free / (1 << 20)
    seen = f"{megabytes / 1024:.1f} GB free"
    advice = "free space, or mobilevd device clean"
    if megabytes < STORAGE_MB[0]:
        return fail("storage", seen, advice, free_mb=round(megabytes))
    if megabytes < STORAGE_MB[1]:
        sizes = "for mobilevd-512x256: 3.3 GB in fp16, 6.6 in fp32, up to 1.8 for packed weights"
        return warn("storage", seen, f"{advice}, {sizes}", free_mb=round(megabytes))
    return ok("storage", seen, free_mb=round(megabytes))


def _vulkan(device: Device) -> Finding:
    text = device.shell(["pm", "list", "features"], check=False).text
    match = re.search(r"android\.hardware\.vulkan\.version=(\d+)", text)
    number = int(match[1]) if match else 0
    version = (number >> 22, number >> 12 & 0x3FF, number & 0xFFF)
    name = ".".join(map(str, version)) if match else None
    if match and version >= LEAST_VULKAN:
        return ok("vulkan", str(name), vulkan=name)
    advice = "Vulkan bundles will not run: export with --backend xnnpack or qnn"
    return warn("vulkan", name or "none", advice, vulkan=name)


def _qnn(properties: Mapping[str, str], folder: DeviceFolder) -> list[Finding]:
    arch = htp_arch(properties.get("ro.soc.model", ""))
    return [htp_finding(properties), libraries_finding(builds(folder), arch)]


def _cores(device: Device) -> Finding:
    frequencies = core_frequencies_khz(device)
    fast = performance_cores(frequencies)
    kinds = sorted(Counter(frequencies.values()).items())
    figures = {"cores_khz": frequencies, "performance_cores": fast}
    if not all(frequencies.values()):
        advice = "give the cores by hand: --cores 4-7"
        return warn("cores", f"{len(frequencies)}, clocks not told", advice, **figures)
    seen = ", ".join(f"{count} x {khz / 1e6:.2f} GHz" for khz, count in kinds)
    return ok("cores", f"{seen}; fast: {_ranges(fast)}", **figures)


def _ranges(cores: list[int]) -> str:
    """[2, 3, 4, 7] -> 2-4,7."""
    parts: list[list[int]] = []
    for core in cores:
        if parts and core == parts[-1][-1] + 1:
            parts[-1].append(core)
        else:
            parts.append([core])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _battery(device: Device) -> Finding:
    text = device.shell(["dumpsys", "battery"], check=False).text
    told = dict(re.findall(r"(?m)^\s*([\w ]+): (\S+)\s*$", text))
    if not told.get("level", "").isdigit():
        return warn("battery", "unknown", f"{_UNKNOWN} dumpsys battery")
    level, plugged = (
        int(told["level"]),
        "true" in [told.get(f"{source} powered") for source in ("AC", "USB", "Wireless")],
    )
    tenths = told.get("temperature", "")
    celsius = int(tenths) / 10 if tenths.lstrip("-").isdigit() else None
    warmth = "" if celsius is None else f", {celsius:.1f} °C"
    seen = f"{level} %{' plugged in' if plugged else ''}{warmth}"
    figures = {"battery_percent": level, "plugged": plugged, "battery_c": celsius}
    if celsius is not None and celsius > BATTERY_C[1]:
        return fail("battery", seen, "let it cool before anything else", **figures)
    if celsius is not None and celsius > BATTERY_C[0]:
        return warn("battery", seen, "let it cool: figures would be slow", **figures)
    if level < BATTERY_PERCENT:
        return warn("battery", seen, "charge it: phones save power below 20 %", **figures)
    return ok("battery", seen, **figures)


def _temperature(device: Device) -> Finding:
    celsius = cpu_temperature_c(device)
    text = device.shell(["dumpsys", "thermalservice"], check=False).text
    match = re.search(r"Thermal Status: (\d)", text)
    level = min(int(match[1]), len(_THROTTLING) - 1) if match else None
    figures = {"cpu_c": celsius, "throttling": _THROTTLING[level] if level is not None else None}
    parts = [f"CPU {celsius:.0f} °C"] if celsius is not None else []
    parts += [f"throttling: {_THROTTLING[level]}"] if level is not None else []
    seen = ", ".join(parts) or "unknown"
    if level is not None and level >= 3:
        return fail("temperature", seen, "let it cool: it has cut its clocks", **figures)
    if level or (celsius is not None and celsius > CPU_C):
        return warn("temperature", seen, "let it cool: bench waits (--cool-below)", **figures)
    if celsius is None:
        advice = "bench cannot wait for it to cool: leave pauses yourself"
        return warn("temperature", seen, advice, **figures)
    return ok("temperature", seen, **figures)


def _package(folder: DeviceFolder) -> Finding:
    if not folder.is_ours():
        return ok("our folder", f"{folder.path}: not there yet", complete=None)
    if read_manifest(folder, "package") is None:
        advice = "mobilevd device push (it goes on where it stopped)"
        return warn("our folder", f"{folder.path}: no whole package", advice, complete=False)
    return ok("our folder", f"{folder.path}: a whole package", complete=True)
