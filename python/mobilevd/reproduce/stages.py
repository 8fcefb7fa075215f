"""The trainings of the benchmark, in an order in which each finds what it starts from.

Steps and learning rates were chosen so that a stage takes at most an hour of one core; they are
the same for the methods that are compared (clips seen, not steps, where a method needs more
evaluations per step).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..presets import Preset, get_preset
from ..training.methods.mobilevd_options import Options
from ..training.recipe_file import MINI_CONSTANTS
from ..training.settings import Settings

CACHED_CLIPS: Mapping[str, int] = {"mini": 8192, "mini-hd": 2048}


@dataclass(frozen=True)
class Stage:
    """A training; ``start`` and ``teacher`` name earlier stages."""

    name: str
    method: str
    preset_name: str
    settings: Settings
    start: str | None = None
    teacher: str | None = None
    stage: str | None = None
    options: Options = field(default_factory=Options)
    constants: Any = None  # of the method, for `mini`
    cached_clips: int | None = None  # default: the preset's; 0: drawn anew
    ablation: bool = False

    @property
    def preset(self) -> Preset:
        return get_preset(self.preset_name)


_SVD = Settings(2400, 16, 1e-3, warmup=100, cooldown_share=0.5, precision="bf16", sample_every=1000)
_GAME = Settings(
    300, 8, 2e-4, warmup=30, cooldown_share=0.4, ema_decay=0.99, precision="bf16",
    checkpoint_every=50, sample_every=200,
)  # fmt: skip


def _mobilevd(prefix: str, preset: str, start: str, teacher: str, steps: int) -> list[Stage]:
    """The adversarial stages, each from the one before."""
    found = []
    for name in ("adversarial", "multiscaling", "pruning", "funnels"):
        full = f"{prefix}{name}"
        settings = replace(_GAME, steps=steps, sample_every=steps)
        found.append(
            Stage(
                full, "mobilevd", preset, settings, start, teacher, name,
                constants=MINI_CONSTANTS["mobilevd"],
            )
        )  # fmt: skip
        start = full
    return found


STAGES: tuple[Stage, ...] = (
    Stage("autoencoder", "autoencoder", "mini", Settings(
        1600, 24, 2e-3, weight_decay=0.0, warmup=100, cooldown_share=0.5, precision="bf16",
    )),
    Stage("pretraining", "svd", "mini", _SVD),
    Stage("svd-hd", "svd", "mini-hd", replace(_SVD, steps=400, learning_rate=6e-4), "pretraining"),
    Stage(
        "low_resolution", "mobilevd", "mini", replace(_SVD, steps=250, learning_rate=5e-4),
        "svd-hd", "svd-hd", "low_resolution",
    ),
    Stage(
        "cross_attention", "mobilevd", "mini", _SVD, "low_resolution", None, "cross_attention"
    ),
    *_mobilevd("", "mini", "cross_attention", "low_resolution", 600),
    *(
        Stage(
            name, name, "mini-hd", _GAME, "svd-hd", "svd-hd", constants=MINI_CONSTANTS[name],
            cached_clips=384 if name == "ladd" else None,
        )
        for name in ("sfv", "ladd", "ufogen", "animatelcm")
    ),
    Stage("hd-cross_attention", "mobilevd", "mini-hd", _SVD, "svd-hd", None, "cross_attention"),
    *_mobilevd("hd-", "mini-hd", "hd-cross_attention", "svd-hd", 150),
)  # fmt: skip


def stage_named(name: str) -> Stage:
    """ValueError that lists the known ones."""
    from .ablations import ABLATIONS

    for stage in (*STAGES, *ABLATIONS):
        if stage.name == name:
            return stage
    raise ValueError(
        f"unknown stage '{name}'; known: {', '.join(s.name for s in (*STAGES, *ABLATIONS))}"
    )
