"""Loads the compiled runtime next to the right ExecuTorch, or says in one line why not."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
from pathlib import Path

BUILD_HINT = "build it with `pip install --no-build-isolation -e .` in the checkout"


def check_executorch() -> Path:
    """Compare the installed ExecuTorch with the one built against; return its folder.

    Raises
    ------
    ImportError
        When it is absent or of another major.minor version: its C++ interface is not stable
        across those, and loading it would crash rather than complain.
    """
    try:
        from mobilevd._build_info import EXECUTORCH_VERSION as built
    except ImportError:
        raise ImportError(f"mobilevd's compiled parts are missing; {BUILD_HINT}") from None
    try:
        installed = importlib.metadata.version("executorch")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(
            f"mobilevd needs ExecuTorch {built}: pip install executorch=={built}"
        ) from None
    if installed.split(".")[:2] != built.split(".")[:2]:
        raise ImportError(
            f"mobilevd was built against ExecuTorch {built} but {installed} is installed; "
            f"pip install executorch=={built}, or build mobilevd again"
        )
    spec = importlib.util.find_spec("executorch")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"ExecuTorch {installed} is installed but cannot be found")
    return Path(next(iter(spec.submodule_search_locations)))


def preload_executorch() -> None:
    """Load ExecuTorch's libraries from the package Python uses.

    Our libraries then find them by name wherever that package lies, and share one op registry
    with ``executorch.runtime``.
    """
    lib = check_executorch() / "lib"
    for name in (
        "",
        "_threadpool",
        "_kernels_optimized",
        "_backend_xnnpack",
        "_backend_vulkan",
        "_backend_qnn",
        "_etdump",
    ):
        path = lib / f"libexecutorch{name}.so"
        if path.exists():
            ctypes.CDLL(str(path))
