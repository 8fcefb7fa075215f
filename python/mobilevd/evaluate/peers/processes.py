"""One process for each conversion and each measurement: its memory goes with it, and a crash of it
is its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .peer import Peer
from .task import Task

_WORKER = f"{__package__}.worker"


class PeerError(RuntimeError):
    """One line about a peer that failed."""


def convert(peer: Peer, task: Task, log: Path) -> dict[str, Any]:
    """``convert_s`` and ``peak_rss_mb``; raises PeerError."""
    return _run(peer, task, log, {"action": "convert"})


def measure(peer: Peer, task: Task, log: Path, repeat: int, answer: Path) -> dict[str, Any]:
    """What ``worker.measure`` finds; raises PeerError."""
    job = {"action": "measure", "repeat": repeat, "output": str(answer)}
    return _run(peer, task, log, job)


def _run(peer: Peer, task: Task, log: Path, job: dict[str, Any]) -> dict[str, Any]:
    threads = str(task.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    environment.pop("OMP_WAIT_POLICY", None)  # alone in its process, torch may spin
    with tempfile.TemporaryDirectory(prefix="mobilevd-peer-") as folder:
        asked, result = Path(folder) / "job.json", Path(folder) / "result.json"
        whole = {**job, "module": peer.module, "task": asdict(task), "result": str(result)}
        asked.write_text(json.dumps(whole))
        command = [sys.executable, "-m", _WORKER, str(asked)]
        with log.open("w") as said:
            done = subprocess.run(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        if not result.is_file():
            raise PeerError(f"{_ended(done.returncode)} (its last words: {log})")
        answer = json.loads(result.read_text())
    if "error" in answer:
        raise PeerError(answer["error"])
    return dict(answer)


def _ended(code: int) -> str:
    if code >= 0:
        return f"the process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = ": out of memory?" if -code == signal.SIGKILL else ""
    return f"the process was ended by {name}{hint}"
