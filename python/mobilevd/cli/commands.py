"""The sub-commands that make, run and measure clips."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..presets import PRESETS
from . import (  # noqa: F401  (registers commands)
    bench,
    compress,
    device_bench,
    device_doctor,
    device_push,
    device_report,
    device_run,
    evaluate,
    flavours,
    flops,
    inspect,
    models,
    pack_shards,
    reproduce,
    train,
)
from .arguments import (
    BackendLibs,
    Bundle,
    Clip,
    ContactSheet,
    Fps,
    Json,
    MaxMemory,
    MotionBucket,
    NoiseAug,
    PackedWeights,
    Seed,
    Steps,
    Threads,
    check_clip,
    check_picture,
    check_sampling,
    shipped_mini,
)
from .device import device
from .main import app
from .output import progress_bar, write_json

app.add_typer(device, name="device")


@app.command(epilog="Example: mobilevd generate photo.jpg -o clip.mp4 --seed 7")
def generate(
    image: Annotated[Path, typer.Argument(help="A JPEG or PNG.")],
    output: Clip,
    bundle: Bundle = None,
    seed: Seed = 0,
    threads: Threads = None,
    steps: Steps = None,
    fps: Fps = None,
    motion_bucket: MotionBucket = None,
    noise_aug: NoiseAug = None,
    max_memory_mb: MaxMemory = 0,
    packed_weights: PackedWeights = "",
    contact_sheet: ContactSheet = None,
    backend_lib: BackendLibs = None,
    json: Json = None,
) -> None:
    """Make a clip from a picture."""
    check_sampling(seed, threads, steps, fps, max_memory_mb, motion_bucket, noise_aug)
    from ..runtime import Pipeline, capture_executorch_log, picture_as_seen
    from ..runtime.video import write_contact_sheet, write_video

    capture_executorch_log()
    check_clip(output)
    check_picture(image)
    pipeline = Pipeline(
        bundle or shipped_mini(),
        threads or 0,
        max_memory_mb=max_memory_mb,
        packed_weights=packed_weights,
        backend_libs=backend_lib or (),
    )
    with progress_bar("generate") as report:
        clip = pipeline.generate(
            str(image),
            seed,
            steps=steps,
            fps=fps,
            motion_bucket=motion_bucket,
            noise_aug=noise_aug,
            progress=lambda stage, done, total: report(done, total, stage),
        )
    write_video(output, clip.frames, clip.fps)
    if contact_sheet:
        write_contact_sheet(
            contact_sheet, picture_as_seen(image, *clip.frames.shape[1:3]), clip.frames
        )
    write_json(json, clip.stats)


@app.command(epilog="Example: mobilevd encode frames/ -o clip.mp4 --fps 7")
def encode(
    frames: Annotated[Path, typer.Argument(help="The runner's .y4m file or folder of PNGs.")],
    output: Clip,
    fps: Annotated[
        float | None, typer.Option(help="Default: the file's own; 7 of a folder of PNGs.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Input picture of the sheet.")] = None,
    contact_sheet: ContactSheet = None,
) -> None:
    """Turn the runner's frames into a video, and a contact sheet."""
    from ..runtime import picture_as_seen
    from ..runtime.video import frame_rate, read_frames, write_contact_sheet, write_video

    check_clip(output)
    if fps is not None and not 0 < fps < math.inf:
        raise UsageError(f"--fps must be above 0, not {fps}")
    if not frames.exists():
        raise UsageError(f"no frames at {frames}")
    clip = read_frames(frames)
    write_video(output, clip, fps or frame_rate(frames) or 7)
    if contact_sheet:
        picture = picture_as_seen(image, *clip.shape[1:3]) if image else clip[0]
        write_contact_sheet(contact_sheet, picture, clip)


@app.command(epilog="Example: mobilevd presets")
def presets() -> None:
    """List the presets."""
    from .output import table

    table(
        "presets",
        ["name", "frames", "size", "what"],
        [[p.name, p.unet.num_frames, f"{p.width}x{p.height}", p.summary] for p in PRESETS.values()],
    )
