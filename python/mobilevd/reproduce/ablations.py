"""The paper's ablations (Tables 3 to 6) on `mini`: one stage each with one choice changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..training.methods.mobilevd_options import Options
from ..training.train import DEFAULTS
from .stages import STAGES, Stage


def _changed(name: str, of: str, **options: object) -> Stage:
    stage = _stage(of)
    # Half of the steps: rows of one ablation are compared among themselves.
    settings = replace(stage.settings, steps=stage.settings.steps // 2)
    return replace(stage, name=name, options=Options(**options), settings=settings, ablation=True)  # type: ignore[arg-type]


def _multiscaled(name: str, how: Sequence[str]) -> Stage:
    """At 128x128, where there is a level to leave out; ``hd-multiscaling`` is the third of them."""
    options = Options(multiscaling=tuple(how))
    return replace(_stage("hd-multiscaling"), name=name, options=options, ablation=True)


def _stage(name: str) -> Stage:
    return next(s for s in STAGES if s.name == name)


ABLATIONS: tuple[Stage, ...] = (
    _changed("heads-spatial-and-temporal", "adversarial"),
    _changed("heads-spatial-only", "adversarial", temporal_heads=False),
    _multiscaled("multiscaling-spatial", ("spatial",)),
    _multiscaled("multiscaling-both", ("temporal", "spatial")),
    *(
        _changed(f"pruning-{how}-{share}", "pruning", pruning=how, pruned_share=share / 100)
        for how in ("learned", "l1", "random")
        for share in (70, 80, 90)
    ),
    _changed("funnels-coupled", "funnels"),
    _changed("funnels-he", "funnels", funnel_init="he"),
    _changed("funnels-merged-first", "funnels", merged_first=True),
    Stage(
        "decoder-temporal",
        "decoder",
        "mini",
        DEFAULTS["decoder"],
        "funnels",
        cached_clips=0,
        ablation=True,
    ),
)
