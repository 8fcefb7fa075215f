"""The process that converts for one peer, or measures one: ``python -m ...worker JOB.json``.

A job names the module, the task and what to do; the result goes to a JSON file, whatever happens
short of a crash.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...whole_files import write_text
from .task import Running, Task


def measure(
    load: Callable[[Task], Running], task: Task, repeat: int, output: Path
) -> dict[str, Any]:
    """Times in ms: ``load_ms``, ``first_ms`` (it warms up) and ``repeat`` of ``runs_ms``.

    The answer goes to ``output`` as .npy.
    """
    start = time.perf_counter()
    running = load(task)
    load_ms = 1e3 * (time.perf_counter() - start)
    times = []
    for _ in range(1 + repeat):
        start = time.perf_counter()
        result = running.evaluate()
        times.append(1e3 * (time.perf_counter() - start))
    np.save(output, running.array(result))
    return {"load_ms": load_ms, "first_ms": times[0], "runs_ms": times[1:]}


def peak_rss_mb() -> float | None:
    """MB of 2^20 bytes; None where the kernel does not say.

    Not ru_maxrss, which starts at the size of the process that forked this one.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) / 1024 if found else None


def work(job: dict[str, Any]) -> dict[str, Any]:
    try:
        module = importlib.import_module(job["module"])
        task = Task(**job["task"])
        start = time.perf_counter()
        if job["action"] == "convert":
            module.convert(task)
            result = {"convert_s": time.perf_counter() - start}
        else:
            result = measure(module.load, task, job["repeat"], Path(job["output"]))
            if task.device == "cuda":
                result |= _of_cuda()
    except Exception as error:
        traceback.print_exc()
        line = " ".join(str(error).split())
        return {"error": f"{type(error).__name__}: {line}"[:500]}
    return {**result, "peak_rss_mb": peak_rss_mb()}


def _of_cuda() -> dict[str, Any]:
    import torch

    return {
        "gpu": torch.cuda.get_device_name(),
        "peak_gpu_mb": torch.cuda.max_memory_allocated() / 2**20,
    }


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    write_text(job["result"], json.dumps(work(job)))
