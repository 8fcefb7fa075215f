"""``mobilevd device bench``: the same clip several times, each from a cool device.

Each repeat is a process of its own, after a warm-up clip inside it: so load time and peak memory
are measured as often as the rest, the device may cool between two repeats, and no repeat profits
from the one before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

from .connection import Device
from .cores import choose_cores, core_frequencies_khz
from .facts import device_facts
from .op_profile import TRACE, pull_profile
from .results import Repeat, Result, combine
from .run import Clip, write_video
from .runner import TIMEOUT, Installed, Sampling, pull_frames, run_folder, start_runner
from .thermal import CoolDown, cpu_temperature_c, wait_until_cool

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How to measure: counts, cores (``performance``, ``all`` or a list) and the cool-down gate.

    Once ``stopping`` is set no repeat begins and no wait goes on: InterruptedError.
    """

    repeats: int = 5
    warmup: int = 1
    cores: str = "performance"
    gate: CoolDown = field(default_factory=CoolDown)
    timeout: float = TIMEOUT
    stopping: Event = field(default_factory=Event)

    def pause(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise InterruptedError("stopped")


@dataclass(frozen=True)
class Setting:
    """What is known of a bench before it runs: the device, the cores and threads."""

    facts: dict[str, Any]
    cores: list[int]
    threads: int


def settle(device: Device, plan: Plan, sampling: Sampling) -> Setting:
    """Asks the device. As many threads as cores unless ``sampling`` says otherwise."""
    cores = choose_cores(plan.cores, core_frequencies_khz(device))
    return Setting(device_facts(device), cores, sampling.threads or len(cores))


def bench(
    installed: Installed,
    setting: Setting,
    sampling: Sampling,
    plan: Plan,
    say: Say,
    clip: Clip | None = None,
    etdump: Path | None = None,
) -> Result:
    """The combined result (:func:`results.combine`), with ``device``, ``cores`` and ``cool_down``.

    ``clip``: the last repeat's frames go there. ``etdump``: a folder for ExecuTorch's profiles of
    one more clip, which is not measured since profiling slows it down; ``profile`` sums them up.
    """
    flags = replace(sampling, threads=setting.threads).flags()
    measured = [*flags, "--warmup", str(plan.warmup), "--repeat", "1"]
    repeats: list[Repeat] = []
    begin = time.monotonic()
    with run_folder(installed) as folder:
        for number in range(plan.repeats):
            plan.pause(0)
            waited = wait_until_cool(installed.device, plan.gate, say, plan.pause)
            say(f"repeat {number + 1} of {plan.repeats}")
            started = time.monotonic() - begin
            result = start_runner(installed, folder, measured, plan.timeout, setting.cores)
            after = cpu_temperature_c(installed.device)
            repeats.append(Repeat(result, started, waited.seconds, waited.temperature_c, after))
        if clip is not None:
            write_video(clip.path, pull_frames(installed, folder), clip.fps)
        combined = {
            **combine(repeats),
            "device": setting.facts,
            "cores": setting.cores,
            "cool_down": {"below_c": plan.gate.below_c, "limit_s": plan.gate.limit_s},
        }
        if etdump is not None:
            say("profiling")
            start_runner(
                installed,
                folder,
                [*flags, "--etdump", f"{folder}/{TRACE}"],
                plan.timeout,
                setting.cores,
            )
            combined["profile"] = pull_profile(installed, folder, etdump)
    return combined
