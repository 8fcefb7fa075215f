"""Our bundle, for its answer; how long it takes is asked of the runner (reference.py)."""

from __future__ import annotations

import json

from .executorch_xnnpack import running
from .task import Running, Task

BUNDLE = "bundle"


def convert(task: Task) -> None:
    from ...export.bundle import export_bundle

    export_bundle(task.model(), task.own / BUNDLE)


def load(task: Task) -> Running:
    from ..programs import prepare_runtime, weights_file

    bundle = task.own / BUNDLE
    entry = json.loads((bundle / "bundle.json").read_text())["stages"]["unet"]
    prepare_runtime("xnnpack")
    return running(task, bundle / entry["program"], weights_file(bundle, entry) or bundle)
