"""``mobilevd device run``: a picture becomes a clip on a device, and the clip comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..runtime.video import write_video
from .facts import device_facts
from .results import Result
from .runner import TIMEOUT, Installed, Sampling, pull_frames, run_folder, start_runner


@dataclass(frozen=True)
class Clip:
    """Where a clip goes and how many frames a second it shows."""

    path: Path
    fps: float


def run(
    installed: Installed,
    sampling: Sampling,
    clip: Clip,
    say: Callable[[str], None],
    timeout: float = TIMEOUT,
    float_frames: Path | None = None,
) -> Result:
    """Makes the clip and writes it; the runner's result with the device's facts.

    ``float_frames``: a .npy file of the frames in [0, 1] before rounding, float32 [F, H, W, 3].
    Nothing is written unless the frames arrived whole.
    """
    facts = device_facts(installed.device)
    with run_folder(installed) as folder:
        say("running")
        flags = sampling.flags()
        if float_frames is not None:
            flags += ["--float-frames", f"{folder}/frames.npy"]
        result = start_runner(installed, folder, flags, timeout)
        say("pulling the frames")
        frames = pull_frames(installed, folder)
        if float_frames is not None:
            installed.device.pull_file(f"{folder}/frames.npy", float_frames)
    write_video(clip.path, frames, clip.fps)
    return {**result, "device": facts}
