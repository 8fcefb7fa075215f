"""The systems of the comparison: whose weights, at what size, how sampled."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..models.store import Model, load_model
from ..presets import get_preset
from .ablations import ABLATIONS
from .run import Benchmark


@dataclass(frozen=True)
class Row:
    """``paper``: the row of the paper's Table 1, 2, 3, 4, 5 or 6 that it stands for."""

    name: str
    stage: str
    preset_name: str
    paper: str

    def model(self, benchmark: Benchmark) -> Model:
        """At the row's size; its sampling is the one its training was for."""
        model, size = load_model(benchmark.weights(self.stage)), get_preset(self.preset_name)
        model.preset = replace(model.preset, name=size.name, height=size.height, width=size.width)
        return model


# Table 1: the seven systems, SVD at both sizes. The order is the paper's.
SYSTEMS: tuple[Row, ...] = (
    Row("svd-hd", "svd-hd", "mini-hd", "SVD 1024x576"),
    Row("animatelcm", "animatelcm", "mini-hd", "AnimateLCM"),
    Row("ufogen", "ufogen", "mini-hd", "UFOGen"),
    Row("ladd", "ladd", "mini-hd", "LADD"),
    Row("sfv", "sfv", "mini-hd", "SF-V"),
    Row("mobilevd-hd", "hd-funnels", "mini-hd", "MobileVD-HD"),
    Row("svd", "svd-hd", "mini", "SVD 512x256"),
    Row("mobilevd", "funnels", "mini", "MobileVD"),
)

# Table 2: what each stage of the recipe costs and brings; both ends are in Table 1.
STAGE_ROWS: tuple[Row, ...] = (
    Row("low_resolution", "low_resolution", "mini", "+ low-resolution finetuning"),
    Row("cross_attention", "cross_attention", "mini", "+ optimized cross-attention"),
    Row("adversarial", "adversarial", "mini", "+ adversarial finetuning"),
    Row("multiscaling", "multiscaling", "mini", "+ temporal multiscaling"),
    Row("pruning", "pruning", "mini", "+ temporal block pruning"),
)

ABLATION_ROWS: tuple[Row, ...] = (
    *(Row(stage.name, stage.name, stage.preset_name, "ablation") for stage in ABLATIONS),
    Row("multiscaling-temporal", "hd-multiscaling", "mini-hd", "ablation"),
)
