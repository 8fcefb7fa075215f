"""Runs exported programs in this process, with our ops and with backends from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..export.lowering import quiet_exporter
from ..export.native_output import native_output

# Backend -> (what ExecuTorch calls it, the runtime it needs).
RUNTIMES = {
    "xnnpack": ("XnnpackBackend", "ExecuTorch's wheel has it: install executorch again"),
    "vulkan": (
        "VulkanBackend",
        "ExecuTorch's Vulkan backend (no wheel has it; build one with EXECUTORCH_BUILD_VULKAN=ON)",
    ),
    "qnn": ("QnnBackend", "ExecuTorch's QNN backend with Qualcomm's libraries"),
}


def prepare_runtime(backend: str, libraries: Sequence[Path] = ()) -> None:
    """Loads ``libraries``; RuntimeError says which runtime is missing for ``backend``."""
    from .. import runtime
    from .._runtime import load_backend_library, registered_backends

    with quiet_exporter():
        import executorch.runtime  # noqa: F401
    runtime.capture_executorch_log()  # after the import, which takes the log for itself
    for library in libraries:
        load_backend_library(str(library))
    if backend == "qnn":
        from ..export.qnn_sdk import activate

        activate()
    torch.ops.load_library(str(runtime.ops_library()))
    name, needed = RUNTIMES.get(backend, (backend, f"a runtime for {backend}"))
    have = registered_backends()
    if name not in have:
        raise RuntimeError(
            f"this runs the bundle's programs, and this machine's ExecuTorch has no {name} (it "
            f"has {', '.join(have)}). Needed: {needed}; pass its library with --backend-lib"
        )


def weights_file(bundle: Path, stage: Mapping[str, Any]) -> Path | None:
    """What lies beside a stage's program, by its entry in ``bundle.json``."""
    return bundle / stage["weights"][0] if stage["weights"] else None


def run_calls(
    program: bytes | Path, calls: Sequence[Sequence[torch.Tensor]], weights: Path | None = None
) -> list[torch.Tensor]:
    """The first output of each call; the program is loaded once, with the file of its weights where
    they are outside. ``prepare_runtime`` first.

    What a backend prints (QNN draws progress bars) is dropped.
    """
    from executorch.runtime import Runtime

    with native_output():
        method = Runtime.get().load_program(program, data_path=weights).load_method("forward")
        # The outputs lie in the program's memory, which goes with it.
        outputs = [method.execute([x.contiguous() for x in call])[0].clone() for call in calls]
        del method  # while what it prints is taken
    return outputs
