"""Ours by the runner: measured before and after each peer, so that a machine that got slower or
faster meanwhile shows."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .kept import digest_of_files, megabytes


@dataclass(frozen=True)
class Reference:
    """The UNet of ``bundle`` on the inputs of ``shared.py``. ``packed``: the folder of its packed
    weights."""

    bundle: Path
    packed: Path
    threads: int
    repeat: int

    def key(self) -> str:
        """Of all that its time follows from, short of the machine."""
        from ...runtime import runner_path

        runner = runner_path()
        libraries = sorted((runner.parents[1] / "lib").glob("*.so"))
        return digest_of_files([self.bundle / "bundle.json", runner, *libraries])

    def measure(self) -> dict[str, Any]:
        """``median_ms``, ``min_ms``, ``runs_ms``, ``load_ms``, ``peak_rss_mb`` (of the process),
        ``packed_mb`` (on the disk), ``ops`` (our kernels' share) and ``peak_gflops``, what the
        threads' FMA units did right after.

        The packed weights are read, not made: the first run ever is done twice.
        """
        result = self._run(["--warmup", "1", "--repeat", str(self.repeat)])
        if result["packed_weights"] == "written":
            result = self._run(["--warmup", "1", "--repeat", str(self.repeat)])
        if result["packed_weights"] != "read":
            raise RuntimeError(f"ours: its packed weights cannot be kept in {self.packed}")
        return {
            **result,
            "packed_mb": megabytes(self.packed),
            "peak_gflops": peak_gflops(self.threads),
        }

    def profile(self) -> list[dict[str, Any]]:
        """A row per kind of op, longest first: ``device.op_profile.summary``."""
        from ...device.op_profile import read_events, summary

        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "unet.etdp"
            self._run(["--repeat", "1", "--etdump", str(trace)])
            return summary(read_events(trace), stage="unet")

    def _run(self, flags: list[str]) -> dict[str, Any]:
        """The runner's figures of the stage; RuntimeError with its own line if it fails."""
        from ...runtime.runner import run_runner

        self.packed.mkdir(parents=True, exist_ok=True)
        always = ["--stage", "unet", "--threads", self.threads, "--seed", 0]
        always += ["--packed-weights", self.packed]
        done = run_runner(self.bundle, [*always, *flags], "ours")
        return {**done.json["stages"]["unet"], "peak_rss_mb": done.json["peak_rss_mb"]}


def peak_gflops(threads: int) -> float:
    """The FMA rate that this machine reaches now, as the kernels' benchmark measures it."""
    from ... import _kernels, kernels

    before = kernels.get_num_threads()
    try:
        kernels.set_num_threads(threads)
        return _kernels.measure_roofline(0.3)[0]
    finally:
        kernels.set_num_threads(before)
