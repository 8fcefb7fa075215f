"""The Python face of the C++ pipeline."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilevd import _runtime
from mobilevd._runtime import Cancelled, Error
from mobilevd.errors import UsageError

__all__ = [
    "Cancelled",
    "Clip",
    "Error",
    "Pipeline",
    "UsageError",
    "capture_executorch_log",
    "load_backend_library",
    "load_image",
    "noise",
    "ops_library",
    "picture_as_seen",
    "runner_path",
]

Image = bytes | str | os.PathLike[str]


def _check_range(name: str, value: int, least: int, most: int) -> None:
    # Here, since what does not fit the C++ type would be a TypeError that lists signatures.
    if not least <= value <= most:
        raise UsageError(f"{name} must be from {least} to {most}, not {value}")


def _backend(bundle: Path) -> str | None:
    """What a readable bundle.json says; of others the C++ runtime says what is wrong."""
    try:
        return json.loads((bundle / "bundle.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Clip:
    """One clip: ``frames`` uint8 [F, H, W, 3], ``fps``, and ``stats`` as the runner's JSON."""

    frames: NDArray[np.uint8]
    fps: float
    stats: dict[str, Any]


class Pipeline:
    """A checked bundle, ready to make clips.

    Threads may share one: clips of one process are made one after another, whatever the number of
    pipelines, since all use one pool of threads. So a ``progress`` callback must not wait for a
    clip of another thread.

    Parameters
    ----------
    bundle
        Folder that ``mobilevd export`` wrote.
    threads
        Size of ExecuTorch's pool, which the whole process shares; 0 takes what an earlier pipeline
        asked for, else the performance cores.
    verify
        Compare every file with its sha256 first.
    keep_loaded
        Keep the stages in memory between clips instead of loading each when its turn comes.
    max_memory_mb
        Refuse a bundle whose estimated peak is above this, and a picture that takes more to read; 0
        for no limit.
    packed_weights
        Folder that keeps XNNPACK's packed weights, so that the next load maps them instead of
        packing; "none" for none. Without one, the user's cache folder for stages of 64 MB and more.
    backend_libs
        Shared libraries that register further ExecuTorch backends (a Vulkan or QNN runtime), which
        the whole process then has.

    Raises
    ------
    Error
        The bundle is damaged, incomplete, or not for this runtime.
    UsageError
        An argument is out of range. It is a ``ValueError``.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        threads: int = 0,
        *,
        verify: bool = True,
        keep_loaded: bool = False,
        max_memory_mb: int = 0,
        packed_weights: str | os.PathLike[str] = "",
        backend_libs: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        _check_range("threads", threads, 0, 1024)
        _check_range("max_memory_mb", max_memory_mb, 0, 2**30)
        for library in backend_libs:
            load_backend_library(library)
        if _backend(Path(bundle)) == "qnn":
            from ..export.qnn_sdk import activate  # Qualcomm's libraries, and the emulator's

            activate()
        self._native = _runtime.Pipeline(
            os.fspath(bundle),
            threads,
            verify,
            keep_loaded,
            max_memory_mb,
            os.fspath(packed_weights),
        )

    @property
    def preset(self) -> str:
        return self._native.preset

    @property
    def threads(self) -> int:
        """Size of the pool now."""
        return self._native.threads

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of its clips."""
        return self._native.shape

    def generate(
        self,
        image: Image,
        seed: int = 0,
        *,
        steps: int | None = None,
        fps: float | None = None,
        motion_bucket: float | None = None,
        noise_aug: float | None = None,
        progress: Callable[[str, int, int], bool | None] | None = None,
    ) -> Clip:
        """Make a clip from a JPEG or PNG, given as a path or as bytes.

        ``progress(stage, done, total)`` is called after each program run; returning False stops
        with :class:`Cancelled`, and an exception of its own is passed on. The same arguments give
        the same frames, bit for bit, as ``mobilevd_runner`` on this machine. To know each stage's
        peak memory a clip begins the process's own (VmHWM) anew.

        None is the bundle's own: ``steps`` 1 to 1000 evaluations, ``fps`` 1 to 1000 told to the
        model, ``motion_bucket`` 0 to 1023, ``noise_aug`` 0 to 10 (its standard deviation).

        Raises
        ------
        UsageError
            One of them outside its range.
        Error
            A picture or bundle that cannot be read, or memory beyond ``max_memory_mb``.
        Cancelled
            ``progress`` returned False.
        """
        _check_range("seed", seed, 0, 2**64 - 1)
        if steps is not None:
            _check_range("steps", steps, 1, 1000)
        frames, stats = self._native.generate(
            image,
            seed,
            steps=steps,
            fps=fps,
            motion_bucket=motion_bucket,
            noise_aug=noise_aug,
            progress=progress,
        )
        return Clip(frames, self._native.fps if fps is None else fps, json.loads(stats))


def capture_executorch_log(echo: bool = False) -> None:
    """Take ExecuTorch's log off stderr for this process; its errors go into our messages.

    For programs, as the command line does; a library should leave the log alone.
    """
    _runtime.capture_executorch_log(echo)


def load_backend_library(library: str | os.PathLike[str]) -> None:
    """Load a shared library that registers further ExecuTorch backends into this process.

    Before programs that need them; twice is as good as once.

    Raises
    ------
    Error
        It cannot be loaded, is made for another ExecuTorch, or registers nothing further.
    """
    _runtime.load_backend_library(os.fspath(library))


def noise(seed: int, stream: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """N(0, 1) noise of the runtime's own generator (Philox4x32-10, Box-Muller).

    Stream 0 is a clip's latents, 1 the picture's augmentation, 2 + i consistency step i.
    """
    _check_range("seed", seed, 0, 2**64 - 1)
    _check_range("stream", stream, 0, 2**32 - 1)
    return _runtime.noise(seed, stream, math.prod(shape)).reshape(tuple(shape))


def load_image(image: Image, height: int, width: int) -> NDArray[np.float32]:
    """Decode, rotate by EXIF, put over white, crop to the aspect ratio, resize: [3, H, W], 0..1.

    The crop rule: the largest centred rectangle of the target's aspect ratio.
    """
    _check_range("height", height, 1, 2**20)
    _check_range("width", width, 1, 2**20)
    return _runtime.load_image(image, height, width)


def picture_as_seen(image: Image, height: int, width: int) -> NDArray[np.uint8]:
    """The picture as the pipeline takes it, for showing beside its frames: uint8 [H, W, 3]."""
    seen = load_image(image, height, width)
    return (seen.transpose(1, 2, 0) * 255).round().astype(np.uint8)


def _package_folder() -> Path:
    # Beside the extension module: an editable install keeps the sources elsewhere.
    return Path(_runtime.__file__).parent


def ops_library() -> Path:
    """libmobilevd_ops.so, which registers our ops with ExecuTorch. Exactly one per process."""
    return _package_folder() / "lib" / "libmobilevd_ops.so"


def runner_path() -> Path:
    """The ``mobilevd_runner`` built with this package."""
    return _package_folder() / "bin" / "mobilevd_runner"
