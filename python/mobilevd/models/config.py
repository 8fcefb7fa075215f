"""The UNet's configuration: everything that decides its modules, as plain JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class UNetConfig:
    """Shape of an SVD UNet, under diffusers' names where diffusers has one.

    ``block_out_channels`` has one entry per resolution level, finest first; ``attention_levels``
    says which levels carry transformers (all but the coarsest in SVD). ``num_frames`` is the
    number of frames of a clip; the weights do not depend on it.
    """

    in_channels: int = 8
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    attention_levels: tuple[bool, ...] = (True, True, True, False)
    layers_per_block: int = 2
    transformer_layers_per_block: int = 1
    num_attention_heads: tuple[int, ...] = (5, 10, 20, 20)
    cross_attention_dim: int = 1024
    addition_time_embed_dim: int = 256
    num_added_time_ids: int = 3
    num_frames: int = 14
    # Written by compress.collapse_cross_attention (paper 3.2): norm2, to_q and to_k are gone.
    collapsed_cross_attention: bool = False

    def __post_init__(self) -> None:
        levels = len(self.block_out_channels)
        for name in ("attention_levels", "num_attention_heads"):
            if len(getattr(self, name)) != levels:
                raise ValueError(f"{name} needs {levels} entries, one per block_out_channels")
        for channels, heads in zip(self.block_out_channels, self.num_attention_heads, strict=True):
            if channels % 32 or channels % heads:
                raise ValueError(
                    f"block_out_channels {channels} must be a multiple of 32 (GroupNorm's groups) "
                    f"and of its {heads} heads"
                )

    @property
    def time_embed_dim(self) -> int:
        return 4 * self.block_out_channels[0]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UNetConfig:
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown UNet configuration entries: {', '.join(unknown)}")
        entries: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**entries)
