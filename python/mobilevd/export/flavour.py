"""What a bundle is lowered for: a backend, a precision, and what narrows the device down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .vulkan_limits import TEXTURE_LIMITS

BACKENDS: dict[str, tuple[str, ...]] = {
    "xnnpack": ("fp32", "fp16", "int8"),
    "vulkan": ("fp32", "fp16"),
    "qnn": ("fp16", "8a8w", "16a8w"),
}


@dataclass(frozen=True)
class Flavour:
    """Raises ValueError, saying what there is, for a combination that is not."""

    backend: str = "xnnpack"
    precision: str = "fp32"
    soc: str | None = None  # qnn: Qualcomm's name of the chip
    texture_limit: int | None = None  # vulkan: the widest 3-D texture; 2048 suits every device

    def __post_init__(self) -> None:
        if self.precision not in BACKENDS.get(self.backend, ()):
            known = ", ".join(
                f"--backend {b} --precision {p}" for b, ps in BACKENDS.items() for p in ps
            )
            raise ValueError(f"no flavour {self.backend} {self.precision}; there are: {known}")
        for flag, value, backend in (
            ("--soc", self.soc, "qnn"),
            ("--texture-limit", self.texture_limit, "vulkan"),
        ):
            if value is not None and self.backend != backend:
                raise ValueError(f"{flag} goes with --backend {backend}, not {self.backend}")
        if self.backend == "vulkan":
            limit = self.texture_limit or TEXTURE_LIMITS[0]
            if limit not in TEXTURE_LIMITS:
                known = ", ".join(map(str, TEXTURE_LIMITS))
                raise ValueError(f"--texture-limit must be one of {known}, not {limit}")
            object.__setattr__(self, "texture_limit", limit)
        if self.backend == "qnn":
            from .qnn import socs

            if self.soc not in socs():
                given = f"unknown --soc {self.soc}" if self.soc else "--backend qnn needs --soc"
                raise ValueError(f"{given}; known: {', '.join(socs())}")

    @property
    def quantized(self) -> bool:
        """Whether lowering calibrates on real inputs."""
        # 8a8w: 8-bit activations, 8-bit weights
        return self.precision == "int8" or "w" in self.precision

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Flavour:
        """The flavour of a ``bundle.json`` or of another mapping with its keys."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def to_dict(self) -> dict[str, Any]:
        """As in ``bundle.json``: what is not given is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}
