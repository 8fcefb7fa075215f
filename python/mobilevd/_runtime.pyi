from collections.abc import Callable
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError as UsageError

version: str
executorch_version: str

def capture_executorch_log(echo: bool) -> None: ...

class Error(RuntimeError): ...
class Cancelled(Error): ...

class Pipeline:
    def __init__(
        self,
        bundle: str,
        threads: int = 0,
        verify: bool = True,
        keep_loaded: bool = False,
        max_memory_mb: int = 0,
        packed_weights: str = "",
    ) -> None: ...
    def generate(
        self,
        image: bytes | str | PathLike[str],
        seed: int = 0,
        *,
        steps: int | None = None,
        fps: float | None = None,
        motion_bucket: float | None = None,
        noise_aug: float | None = None,
        progress: Callable[[str, int, int], bool | None] | None = None,
    ) -> tuple[NDArray[np.uint8], str]: ...
    @property
    def threads(self) -> int: ...
    @property
    def preset(self) -> str: ...
    @property
    def fps(self) -> float: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...

class SamplingSpec:
    def __init__(
        self,
        *,
        sampler: str = "euler",
        steps: int = 25,
        sigma_min: float = 0.002,
        sigma_max: float = 700.0,
        rho: float = 7.0,
        levels: int = 40,
        guidance_min: float = 1.0,
        guidance_max: float = 1.0,
    ) -> None: ...

def noise(seed: int, stream: int, count: int) -> NDArray[np.float32]: ...
def load_image(
    image: bytes | str | PathLike[str], height: int, width: int
) -> NDArray[np.float32]: ...
def registered_ops() -> list[str]: ...
def registered_backends() -> list[str]: ...
def load_backend_library(path: str) -> None: ...
def sigmas(spec: SamplingSpec) -> list[float]: ...
def sinusoid(t: float, channels: int) -> NDArray[np.float32]: ...
def sample(
    spec: SamplingSpec,
    start: NDArray[np.float32],
    velocity: Callable[[NDArray[np.float32], float, bool], NDArray[np.float32]],
    renoise: Callable[[int], NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]: ...
