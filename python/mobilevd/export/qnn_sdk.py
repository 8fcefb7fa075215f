"""Qualcomm's QNN libraries: found, checked and made usable, in this one place.

``env $(python -m mobilevd.export.qnn_sdk) mobilevd_runner ...`` gives them to another program.

``QNN_SDK_ROOT`` names Qualcomm's SDK and wins. Without it, the libraries of the pinned wheel
(``pip install 'mobilevd[qnn]'``) serve; they bring the compiler and the HTP emulator for x86-64
Linux, nothing that runs on a phone.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .shipped import cache_folder

LIBRARIES = Path("lib/x86_64-linux-clang")
REAL = "libQnnHtp.real.so"  # where the stand-in looks for what it stands in for
# QNN releases that ExecuTorch 1.5 was seen to work with, and whether they need the stand-in of
# cpp/qnn/htp_device_config.cc because they read its device configuration at another offset.
NEEDS_STAND_IN = {"2.37": False, "2.47": True, "2.51": True}

HOW_TO_GET = (
    "pip install 'mobilevd[qnn]' (x86-64 Linux), or set QNN_SDK_ROOT to the folder of Qualcomm's "
    "AI Engine Direct SDK"
)


@dataclass(frozen=True)
class QnnSdk:
    """``root`` is what ExecuTorch calls ``QNN_SDK_ROOT``; ``build`` QNN's own name of its build."""

    root: Path
    build: str

    @property
    def libraries(self) -> Path:
        return self.root / LIBRARIES

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """For a child process, such as ``mobilevd_runner``, that is to find the libraries."""
        variables = dict(os.environ if base is None else base)
        paths = [str(self.libraries), variables.get("LD_LIBRARY_PATH", "")]
        return {
            **variables,
            "QNN_SDK_ROOT": str(self.root),
            "LD_LIBRARY_PATH": ":".join(p for p in paths if p),
        }


def find_sdk() -> QnnSdk:
    """The SDK of this machine, not loaded yet.

    RuntimeError, in one line: there is none, it is incomplete, or of a build nobody tried.
    """
    given = os.environ.get("QNN_SDK_ROOT")
    if given:
        root, source = Path(given), f"QNN_SDK_ROOT={given}"
        libraries = root / LIBRARIES
    else:
        spec = find_spec("onnxruntime_qnn")
        if spec is None or spec.origin is None:
            raise RuntimeError(f"no Qualcomm SDK: {HOW_TO_GET}")
        libraries = Path(spec.origin).parent
        root, source = libraries, "the installed onnxruntime-qnn"
    for name in ("libQnnHtp.so", "libQnnSystem.so"):
        if not (libraries / name).is_file():
            raise RuntimeError(f"{source} has no {libraries / name}: {HOW_TO_GET}")
    laid_out = (libraries / REAL).is_file()  # by us, for a parent process
    build = _build_of(libraries / (REAL if laid_out else "libQnnHtp.so"))
    release = ".".join(build.lstrip("v").split(".")[:2])
    if release not in NEEDS_STAND_IN:
        known = ", ".join(NEEDS_STAND_IN)
        raise RuntimeError(
            f"{source} is QNN {build or 'of no known build'}, which ExecuTorch's device "
            f"configuration was not tried with; use QNN {known} or {HOW_TO_GET}"
        )
    if given and (laid_out or not NEEDS_STAND_IN[release]):
        return QnnSdk(root, build)
    return QnnSdk(_laid_out(libraries, NEEDS_STAND_IN[release]), build)


def _build_of(library: Path) -> str:
    """As ``backendGetBuildId`` says, read from the file: a build that is refused is not loaded."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = re.search(rb"\0(v\d+\.\d+\.\d+\.\d{12}\w*)\0", data)
        return found[1].decode() if found else ""


def _compiled(file: str) -> Path:
    """A compiled part of the package: beside the extension modules (an editable install keeps the
    sources elsewhere), found without loading anything."""
    spec = find_spec("mobilevd._runtime")
    if spec is None or spec.origin is None or not (Path(spec.origin).parent / file).is_file():
        raise RuntimeError(f"mobilevd/{file} is missing: install mobilevd again, on x86-64 Linux")
    return Path(spec.origin).parent / file


def _laid_out(libraries: Path, stand_in: bool) -> Path:
    """A folder of links in the cache that has the SDK's layout; made once for each source."""
    ours = _compiled("lib/libmobilevd_qnn_htp.so")
    key = hashlib.sha256(f"{libraries.resolve()}\n{ours}\n{stand_in}".encode()).hexdigest()[:16]
    root = cache_folder() / "qnn" / key
    if (root / LIBRARIES / "libQnnHtp.so").exists():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=root.parent))
    (new / LIBRARIES).mkdir(parents=True)
    for library in libraries.resolve().glob("*.so"):
        name = REAL if stand_in and library.name == "libQnnHtp.so" else library.name
        (new / LIBRARIES / name).symlink_to(library)
    if stand_in:
        (new / LIBRARIES / "libQnnHtp.so").symlink_to(ours)
    # The wheel's libraries look for C++'s in a folder beside theirs.
    beside = libraries.resolve().with_name(libraries.name + ".libs")
    if beside.is_dir():
        (new / LIBRARIES).with_name(beside.name).symlink_to(beside)
    try:
        new.rename(root)
    except OSError:  # another process was first, or an older layout lost its target
        if (root / LIBRARIES / "libQnnHtp.so").exists():
            shutil.rmtree(new)
        else:
            shutil.rmtree(root)
            new.rename(root)
    return root


_active: QnnSdk | None = None


def activate() -> QnnSdk:
    """Loads the libraries into this process, once: ExecuTorch then finds them by name."""
    global _active
    if _active is None:
        sdk = find_sdk()
        # Before QNN's: its C++ library must not serve torch's symbols.
        import torch  # noqa: F401
        from executorch.backends.qualcomm.python import PyQnnManagerAdaptor  # noqa: F401
        from executorch.extension.pybindings import portable_lib  # noqa: F401

        os.environ["QNN_SDK_ROOT"] = str(sdk.root)  # else ExecuTorch downloads one
        for name in ("libQnnSystem.so", "libQnnHtp.so"):
            ctypes.CDLL(str(sdk.libraries / name), mode=os.RTLD_LOCAL | os.RTLD_NOW)
        _active = sdk
    return _active


if __name__ == "__main__":
    try:
        found = find_sdk().environment()
    except (OSError, RuntimeError) as problem:
        raise SystemExit(f"python -m mobilevd.export.qnn_sdk: {problem}") from None
    print(*(f"{name}={found[name]}" for name in ("QNN_SDK_ROOT", "LD_LIBRARY_PATH")))
