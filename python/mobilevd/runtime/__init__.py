"""From a bundle and a picture to a clip, through the same C++ runtime as ``mobilevd_runner``.

>>> from mobilevd.runtime import Pipeline
>>> clip = Pipeline("bundles/mini").generate("photo.jpg", seed=7)  # doctest: +SKIP
>>> clip.frames.shape  # doctest: +SKIP
(14, 64, 64, 3)
"""

from __future__ import annotations

from mobilevd.runtime._load import preload_executorch

preload_executorch()

from mobilevd.runtime.pipeline import (  # noqa: E402 - needs the libraries above
    Cancelled,
    Clip,
    Error,
    Pipeline,
    UsageError,
    capture_executorch_log,
    load_backend_library,
    load_image,
    noise,
    ops_library,
    picture_as_seen,
    runner_path,
)

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
