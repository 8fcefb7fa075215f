"""The UNet's configuration: everything that decides its modules, as plain JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from . import layout

TEMPORAL_OPERATORS = ("frame_selection", "mean")


@dataclass(frozen=True)
class UNetConfig:
    """Shape of an SVD UNet, under diffusers' names where diffusers has one.

    ``block_out_channels`` has one entry per resolution level, finest first; ``attention_levels``
    says which levels carry transformers (all but the coarsest in SVD). ``num_frames`` is the
    number of frames of a clip; the weights do not depend on it.

    The second half records what ``compress`` did, so that configuration and weights alone make
    the compressed model again. Modules are named by their path (``models.layout``).
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
    # compress.collapse_cross_attention (paper 3.2): norm2, to_q and to_k are gone.
    collapsed_cross_attention: bool = False
    # compress.multiscaling: between the first down and the last up block there are fewer frames,
    # or positions per side, by this factor.
    temporal_factor: int = 1
    temporal_operator: str = "frame_selection"
    spatial_factor: int = 1
    # compress.temporal_blocks: the paths kept; None keeps all.
    temporal_blocks: tuple[str, ...] | None = None
    # compress.funnels: (attention, channels per head of q and k, channels per head of v), and
    # (ResBlock, channels between its convolutions). The softmax scale never follows.
    attention_widths: tuple[tuple[str, int, int], ...] = ()
    resblock_widths: tuple[tuple[str, int], ...] = ()
    # While training, the full weights and the funnels exist side by side.
    unmerged_funnels: bool = False
    # compress.truncated: (linear layer of an attention, rank).
    linear_ranks: tuple[tuple[str, int], ...] = ()

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
        self._check_multiscaling()
        self._check_paths()

    def _check_multiscaling(self) -> None:
        for name in ("temporal_factor", "spatial_factor"):
            if getattr(self, name) not in (1, 2):
                raise ValueError(f"{name} must be 1 or 2, not {getattr(self, name)}")
        if self.temporal_operator not in TEMPORAL_OPERATORS:
            known = ", ".join(TEMPORAL_OPERATORS)
            raise ValueError(f"unknown operator '{self.temporal_operator}'; known: {known}")
        if len(self.block_out_channels) < 2 and self.temporal_factor * self.spatial_factor > 1:
            raise ValueError("multiscaling needs a UNet of at least two resolution levels")
        self.check_frames(self.num_frames)

    def check_frames(self, frames: int) -> None:
        if frames % self.temporal_factor:
            raise ValueError(
                f"temporal multiscaling halves the frames: {frames} frames are odd, give an even "
                "number"
            )

    def check_latents(self, height: int, width: int) -> None:
        """Spatial multiscaling halves once more than the levels do, and must not round."""
        multiple = self.spatial_factor * 2 ** (len(self.block_out_channels) - 1)
        if self.spatial_factor > 1 and (height % multiple or width % multiple):
            raise ValueError(
                f"spatial multiscaling needs latents that {multiple} divides, not {height}x{width}"
            )

    def _check_paths(self) -> None:
        attentions = {a for k in ("spatial", "temporal") for a in layout.self_attentions(self, k)}
        linears = attentions | set(layout.cross_attentions(self))
        for what, named, known in (
            ("temporal block", self.temporal_blocks or (), layout.all_temporal_blocks(self)),
            ("self-attention", [p for p, *_ in self.attention_widths], attentions),
            ("ResBlock", [p for p, _ in self.resblock_widths], layout.res_blocks(self)),
            ("attention", [p.rpartition(".")[0] for p, _ in self.linear_ranks], linears),
        ):
            unknown = sorted(set(named) - set(known))
            if unknown:
                raise ValueError(f"no {what} {unknown[0]} in this UNet")

    @property
    def time_embed_dim(self) -> int:
        return 4 * self.block_out_channels[0]

    @property
    def uncompressed(self) -> UNetConfig:
        """Before any step of ``compress``: SVD's modules at these widths and frames."""
        names = [f.name for f in fields(self)]
        kept = names[: names.index("collapsed_cross_attention")]
        return UNetConfig(**{name: getattr(self, name) for name in kept})

    def keeps(self, temporal_block: str) -> bool:
        """Whether that temporal block survived pruning."""
        return self.temporal_blocks is None or temporal_block in self.temporal_blocks

    def attention_width(self, path: str) -> tuple[int, int] | None:
        """Channels per head of (q and k, v) where a funnel changed them."""
        return next(((qk, v) for p, qk, v in self.attention_widths if p == path), None)

    def resblock_width(self, path: str) -> int | None:
        return dict(self.resblock_widths).get(path)

    def linear_rank(self, path: str) -> int | None:
        return dict(self.linear_ranks).get(path)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UNetConfig:
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown UNet configuration entries: {', '.join(unknown)}")
        return cls(**{k: _tuples(v) for k, v in values.items()})


def _tuples(value: Any) -> Any:
    """JSON has lists only."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
