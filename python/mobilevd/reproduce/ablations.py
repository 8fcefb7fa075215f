"""The paper's ablations (Tables 3 to 6) on `mini`: one stage each with one choice changed."""

from __future__ import annotations

from dataclasses import replace

from ..training.methods.mobilevd_options import Options
from ..training.train import DEFAULTS
from .stages import STAGES, Stage


def _changed(name: str, of: str, fewer: int = 2, **options: object) -> Stage:
    """``fewer`` times fewer steps: rows of one ablation are compared among themselves."""
    stage = next(s for s in STAGES if s.name == of)
    settings = replace(stage.settings, steps=stage.settings.steps // fewer)
    return replace(stage, name=name, options=Options(**options), settings=settings, ablation=True)  # type: ignore[arg-type]


ABLATIONS: tuple[Stage, ...] = (
    _changed("heads-spatial-and-temporal", "adversarial"),
    _changed("heads-spatial-only", "adversarial", temporal_heads=False),
    # At 128x128, where there is a level to leave out; `hd-multiscaling` itself is the third row.
    _changed("multiscaling-spatial", "hd-multiscaling", 1, multiscaling=("spatial",)),
    _changed("multiscaling-both", "hd-multiscaling", 1, multiscaling=("temporal", "spatial")),
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
