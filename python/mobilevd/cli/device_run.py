"""``mobilevd device run``: a picture becomes a clip on phones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .arguments import (
    Clip,
    ContactSheet,
    FolderLabel,
    Fps,
    Json,
    MaxMemory,
    MotionBucket,
    NoiseAug,
    Seed,
    Serials,
    Steps,
    Threads,
    check_clip,
    check_file,
    check_picture,
    check_sampling,
    shipped_mini,
)
from .device import device
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

if TYPE_CHECKING:
    from ..device import Device, Package
    from ..device.results import Result


def bundle_of(package: Package, bundle: Path | None) -> tuple[Path | None, Path]:
    """What is pushed beside the package (None: it has its own), and where to read bundle.json."""
    if bundle is None and package.bundle is not None:
        return None, package.folder / package.bundle
    chosen = bundle or shipped_mini()
    return chosen, chosen


@device.command(
    epilog="Example: mobilevd device run photo.jpg -o clip.mp4 "
    "--package build/packages/android-arm64 --seed 7"
)
def run(
    image: Annotated[Path, typer.Argument(help="A JPEG or PNG.")],
    output: Clip,
    package: PackageFolder,
    bundle: DeviceBundle = None,
    serial: Serials = None,
    all_devices: AllDevices = False,
    folder: FolderLabel = None,
    seed: Seed = 0,
    threads: Threads = None,
    steps: Steps = None,
    fps: Fps = None,
    motion_bucket: MotionBucket = None,
    noise_aug: NoiseAug = None,
    max_memory_mb: MaxMemory = 0,
    timeout: Timeout = 600.0,
    contact_sheet: ContactSheet = None,
    float_frames: Annotated[
        Path | None, typer.Option(help=".npy: also the frames in [0, 1] before rounding.")
    ] = None,
    json: Json = None,
    junit: Junit = None,
) -> None:
    """Make a clip on a phone: push what changed, run, pull the frames, encode them here.

    With several devices each file gets its device's serial: clip-SERIAL.mp4.
    """
    check_sampling(seed, threads, steps, fps, max_memory_mb, motion_bucket, noise_aug)
    if not timeout > 0:
        raise UsageError(f"--timeout must be above 0, not {timeout}")
    check_clip(output)
    check_picture(image)
    from ..device import DeviceFolder, read_package
    from ..device.many import on_each
    from ..device.run import Clip as ClipFile
    from ..device.run import run as run_on
    from ..device.runner import Sampling, install
    from ..export.manifest import read_bundle

    devices = meant(serial, all_devices)
    several = len(devices) > 1

    def own(path: Path | None, phone: Device) -> Path | None:
        return path and of_device(path, phone.serial, several)

    check_file("--junit", junit, makes_folders=True)
    for phone in devices:
        check_clip(of_device(output, phone.serial, several))
        check_file("--float-frames", own(float_frames, phone))
    packed = read_package(package)
    beside, described = bundle_of(packed, bundle)
    shown_fps = fps or read_bundle(described)["sampling"]["fps"]
    sampling = Sampling(seed, threads, steps, fps, motion_bucket, noise_aug, max_memory_mb or None)

    def work(phone: Device) -> Result:
        say = lines.say(phone.serial)
        say("pushing what changed")
        ours = DeviceFolder(phone, folder)
        installed = install(ours, packed, beside, image, lines.report(phone.serial))
        clip = ClipFile(of_device(output, phone.serial, several), shown_fps)
        result = run_on(installed, sampling, clip, say, timeout, own(float_frames, phone))
        if sheet := own(contact_sheet, phone):
            _write_sheet(sheet, image, clip.path)
        return write_result(own(json, phone), result, image, clip.path)

    with board([phone.serial for phone in devices]) as lines:
        outcomes = on_each(devices, work)
    finish(
        "run",
        outcomes,
        ["clip ms", "load ms", "peak MB", "threads", "ISA"],
        lambda r: [
            f"{r['total_ms']:.0f}",
            f"{r['load_ms']:.0f}",
            f"{r['peak_rss_mb']:.0f}",
            r.get("threads", ""),
            r.get("isa", ""),
        ],
        junit=junit,
    )


def _write_sheet(sheet: Path, image: Path, clip: Path) -> None:
    from ..runtime import picture_as_seen
    from ..runtime.video import read_frames, write_contact_sheet

    frames = read_frames(clip)
    write_contact_sheet(sheet, picture_as_seen(image, *frames.shape[1:3]), frames)
