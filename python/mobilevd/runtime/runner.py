"""``mobilevd_runner`` as a process of its own: its peak memory is the bundle's alone."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .pipeline import runner_path


@dataclass(frozen=True)
class RunnerResult:
    """``json``: what ``--json`` wrote; ``cpu_s``: seconds on the CPU, of all threads."""

    json: dict[str, Any]
    cpu_s: float


def run_runner(
    bundle: Path,
    flags: Sequence[object],
    what: str,
    environment: Mapping[str, str] | None = None,
) -> RunnerResult:
    """Runs a bundle; RuntimeError, "``what``: " and the runner's own last line, if it fails."""
    with tempfile.TemporaryDirectory() as made:
        result, log = Path(made) / "result.json", Path(made) / "said"
        command = [runner_path(), "--bundle", bundle, *flags, "--json", result]
        with log.open("w") as said:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            lines = log.read_text().strip().splitlines()
            last = lines[-1] if lines else f"the runner ended with {process.returncode}"
            raise RuntimeError(f"{what}: {last}")
        return RunnerResult(json.loads(result.read_text()), used.ru_utime + used.ru_stime)
