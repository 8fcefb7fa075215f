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
) -> Result:
    """Makes the clip and writes it; the runner's result with the device's facts.

    Nothing is written unless the frames arrived whole.
    """
    facts = device_facts(installed.device)
    with run_folder(installed) as folder:
        say("running")
        result = start_runner(installed, folder, sampling.flags(), timeout)
        say("pulling the frames")
        frames = pull_frames(installed, folder)
    write_video(clip.path, frames, clip.fps)
    return {**result, "device": facts}
