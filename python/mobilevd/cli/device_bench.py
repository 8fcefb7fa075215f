"""``mobilevd device bench``: phones measured, held to bars and to an earlier bench."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .arguments import (
    FolderLabel,
    Json,
    MaxMemory,
    Seed,
    Serials,
    Steps,
    Threads,
    at_least,
    check_clip,
    check_file,
    check_picture,
    check_sampling,
)
from .device import device
from .device_run import bundle_of
from .on_devices import (
    AllDevices,
    DeviceBundle,
    Junit,
    PackageFolder,
    Timeout,
    board,
    finish,
    meant,
    of_device,
    write_result,
)
from .output import table

if TYPE_CHECKING:
    from ..device import Device
    from ..device.bars import Verdict
    from ..device.results import Result


@dataclass(frozen=True)
class Measured:
    result: Result
    verdicts: list[Verdict]


@device.command(
    epilog="Example: mobilevd device bench --package build/packages/android-arm64 "
    "--bar total_ms=1500 --baseline last.json --json now.json"
)
def bench(
    package: PackageFolder,
    image: Annotated[Path | None, typer.Option(help="JPEG or PNG. Default: a photograph.")] = None,
    bundle: DeviceBundle = None,
    serial: Serials = None,
    all_devices: AllDevices = False,
    folder: FolderLabel = None,
    repeats: Annotated[int, typer.Option(help="Clips measured, each in a process.")] = 5,
    warmup: Annotated[int, typer.Option(help="Clips before each measured one.")] = 1,
    cores: Annotated[str, typer.Option(help="performance, all, or a list: 4-7.")] = "performance",
    cool_below: Annotated[
        float, typer.Option(help="Degrees Celsius to wait for before each repeat.")
    ] = 40.0,
    cool_limit: Annotated[
        float, typer.Option(help="Seconds to wait at most; 0 does not wait.")
    ] = 300.0,
    seed: Seed = 0,
    threads: Threads = None,
    steps: Steps = None,
    max_memory_mb: MaxMemory = 0,
    timeout: Timeout = 600.0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also keep the clip, for the report.")
    ] = None,
    etdump: Annotated[
        Path | None, typer.Option(help="Profile one more clip; the profiles go to this folder.")
    ] = None,
    bar: Annotated[
        list[str] | None,
        typer.Option(help="FIGURE=LARGEST, such as total_ms=1500 or unet.p90_ms=40; repeatable."),
    ] = None,
    baseline: Annotated[
        list[Path] | None,
        typer.Option(help="--json of an earlier bench; repeatable, one for each device."),
    ] = None,
    noise: Annotated[
        float, typer.Option(help="What may differ between two benches, as a share.")
    ] = 0.1,
    json: Json = None,
    junit: Junit = None,
) -> None:
    """Measure a bundle on phones: time per stage, load time, peak memory, temperature.

    Each repeat is a process of its own and starts cool. A figure falls behind its baseline when
    new > old * (1 + noise) + spread, the larger interquartile range of the two benches' repeats.
    Exit code 4: a bar or a baseline failed; 3: trouble with a device.
    """
    check_sampling(seed, threads, steps, None, max_memory_mb)
    at_least("--repeats", repeats, 1)
    at_least("--warmup", warmup, 0)
    if not timeout > 0 or not cool_limit >= 0 or not noise >= 0:
        raise UsageError("--timeout must be above 0, --cool-limit and --noise not below it")
    if output is not None:
        check_clip(output)
    from ..device import DeviceFolder, read_package
    from ..device import bars as figures
    from ..device.bench import Plan, settle
    from ..device.bench import bench as bench_on
    from ..device.many import on_each
    from ..device.op_profile import TRACE
    from ..device.run import Clip
    from ..device.runner import Sampling, install
    from ..device.thermal import CoolDown
    from ..export.manifest import read_bundle

    picture = image or _photograph()
    check_picture(picture)
    earlier = [figures.read_baseline(path) for path in baseline or ()]
    packed = read_package(package)
    beside, described = bundle_of(packed, bundle)
    manifest = read_bundle(described)
    limits = figures.parse_bars(bar or (), list(manifest["stages"]))
    sampling = Sampling(seed, threads, steps, max_memory_mb=max_memory_mb or None)
    plan = Plan(repeats, warmup, cores, CoolDown(cool_below, cool_limit), timeout)
    devices = meant(serial, all_devices)
    several = len(devices) > 1

    def own(path: Path | None, phone: Device) -> Path | None:
        return path and of_device(path, phone.serial, several)

    check_file("--junit", junit, makes_folders=True)
    for phone in devices:
        if output is not None:
            check_clip(of_device(output, phone.serial, several))
        profiles = own(etdump, phone)
        check_file("--etdump", profiles and profiles / TRACE, makes_folders=True)

    def work(phone: Device) -> Measured:
        say = lines.say(phone.serial)
        setting = settle(phone, plan, sampling)
        before = figures.choose_baseline(earlier, setting.facts) if earlier else None
        if before is not None:  # now, not after minutes of measuring
            figures.check_comparable(before, _expected(manifest, sampling.steps, setting))
        say("pushing what changed")
        ours = DeviceFolder(phone, folder)
        installed = install(ours, packed, beside, picture, lines.report(phone.serial))
        path = own(output, phone)
        clip = Clip(path, manifest["sampling"]["fps"]) if path else None
        result = bench_on(installed, setting, sampling, plan, say, clip, own(etdump, phone))
        verdicts = figures.against_bars(result, limits)
        if before is not None:
            verdicts += figures.against_baseline(result, before, noise)
        result["verdicts"] = [verdict.row() for verdict in verdicts]
        result = write_result(own(json, phone), result, picture, path)
        return Measured(result, verdicts)

    with board([phone.serial for phone in devices]) as lines:
        outcomes = on_each(devices, work, plan.stopping)
    for outcome in outcomes:
        if outcome.value is not None:
            _print_device(outcome.serial, outcome.value)
    finish(
        "bench",
        outcomes,
        ["clip ms", "load ms", "peak MB", "cores", "°C before", "°C after", "held"],
        lambda m: _cells(m),
        lambda m: m.verdicts,
        junit,
    )


def _photograph() -> Path:
    from ..training.data.photographs import HELD_OUT, package_file

    return package_file(*HELD_OUT[0])


def _expected(manifest: dict[str, Any], steps: int | None, setting: Any) -> dict[str, Any]:
    """What of the coming result a baseline must share."""
    return {
        "bundle": {key: manifest[key] for key in ("preset", "backend", "precision")},
        "steps": steps or manifest["sampling"]["steps"],
        "threads": setting.threads,
        "device": setting.facts,
    }


def _cells(measured: Measured) -> list[str]:
    result = measured.result
    before = [r["temperature_before_c"] for r in result["repeats"]]
    held = sum(verdict.ok for verdict in measured.verdicts)
    return [
        f"{result['total_ms']:.0f}",
        f"{result['load_ms']:.0f}",
        f"{result['peak_rss_mb']:.0f}",
        ",".join(map(str, result["cores"])),
        _degrees(before[0]),
        _degrees(result["temperature_c"]),
        f"{held} of {len(measured.verdicts)}" if measured.verdicts else "–",
    ]


def _degrees(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _print_device(serial: str, measured: Measured) -> None:
    stages = measured.result["stages"]
    table(
        f"{serial}: stages, ms",
        ["stage", "calls", "min", "median", "p90", "load"],
        [
            [
                name,
                s["calls"],
                *(f"{s[k]:.1f}" for k in ("min_ms", "median_ms", "p90_ms", "load_ms")),
            ]
            for name, s in stages.items()
        ],
    )
    if measured.verdicts:
        table(
            f"{serial}: bars and baseline",
            ["figure", "against", "is", "limit", ""],
            [
                [v.name, v.kind, f"{v.value:g}", f"{v.limit:g}", "ok" if v.ok else "OVER"]
                for v in measured.verdicts
            ],
        )
