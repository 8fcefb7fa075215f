"""The plots of the page, each from the stages' entries in ``bundle.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...page.svg import ALERT, DELEGATED, ON_CPU, OTHER, Plot, plot, stacked_bars

Stages = Mapping[str, Mapping[str, Any]]


def plots(stages: Stages) -> list[Plot]:
    """Those that the recorded figures allow; a bundle of an older mobilevd has fewer."""
    drawn = []
    if all("cpu_ops" in s for s in stages.values()):
        drawn += [_shares(stages), *_kinds(stages)]
    if all("weights_by_dtype" in s for s in stages.values()):
        drawn.append(_memory(stages))
    drawn += [_partitions(n, s["delegates"]) for n, s in stages.items() if _many(s)]
    if any(s.get("parity") for s in stages.values()):
        drawn.append(_parity(stages))
    return drawn


def _shares(stages: Stages) -> Plot:
    labels, shares = [], []
    for name, stage in stages.items():
        labels.append(f"{name}\nops")
        shares.append(100 * stage["delegated_share_ops"])
        if "delegated_share_flops" in stage:
            labels.append("FLOPs")
            shares.append(100 * stage["delegated_share_flops"])

    def draw(axes: Any) -> None:
        rest = [100 - share for share in shares]
        stacked_bars(axes, labels, [("delegated", DELEGATED, shares), ("on the CPU", ON_CPU, rest)])
        axes.set(xlim=(0, 100), xlabel="%")

    caption = "Share of each stage that the backend runs, by number of ops and by FLOPs."
    return plot("Delegated share", caption, 0.8 + 0.3 * len(labels), draw)


def _kinds(stages: Stages) -> list[Plot]:
    counts: Counter[str] = Counter()
    for stage in stages.values():
        for op in stage["cpu_ops"]:
            counts[op["op"].removesuffix(".out")] += op["count"]
    if not counts:
        return []
    common = counts.most_common(10)

    def draw(axes: Any) -> None:
        values = [n for _, n in common]
        stacked_bars(axes, [name for name, _ in common], [("", ON_CPU, values)])
        for row, n in enumerate(values):
            axes.text(n, row, f" {n}", va="center")
        axes.set(xlabel="ops", xlim=(0, 1.12 * max(values)))

    caption = "Ops left on the CPU by kind, all stages together."
    return [plot("Left on the CPU", caption, 0.7 + 0.27 * len(common), draw)]


def _memory(stages: Stages) -> Plot:
    totals: Counter[str] = sum((Counter(s["weights_by_dtype"]) for s in stages.values()), Counter())
    # A handful of bytes of some type is in the table; here it would only be in the legend.
    dtypes = [d for d, n in totals.most_common() if n > 0.001 * totals.total()]
    colours = (DELEGATED, ALERT, OTHER)
    # What is rarest shares the last colour.
    series = [
        (
            f"{dtype} weights",
            colours[min(i, 2)],
            [s["weights_by_dtype"].get(dtype, 0) / 1e6 for s in stages.values()],
        )
        for i, dtype in enumerate(dtypes)
    ]
    series.append(("arena", ON_CPU, [s["arena_bytes"] / 1e6 for s in stages.values()]))

    def draw(axes: Any) -> None:
        stacked_bars(axes, list(stages), series)
        axes.set(xlabel="MB")

    caption = "Weights by the type they are stored as, and the arena planned for activations."
    return plot("Memory", caption, 1.0 + 0.32 * len(stages), draw)


def _many(stage: Mapping[str, Any]) -> bool:
    return len(stage.get("delegates", ())) > 3


def _partitions(name: str, delegates: Sequence[Mapping[str, int]]) -> Plot:
    def draw(axes: Any) -> None:
        ops = [d["ops"] for d in delegates]
        axes.bar(range(len(ops)), ops, width=1.0, color=DELEGATED)
        axes.set(
            xlabel="partition, in order of execution", ylabel="ops", xlim=(-0.5, len(ops) - 0.5)
        )
        axes.locator_params(integer=True)
        axes.grid(axis="y", alpha=0.6)
        axes.set_axisbelow(True)

    caption = f"{len(delegates)} partitions: between two of them, the CPU runs something."
    return plot(f"Partitions of {name}", caption, 2.1, draw)


def _parity(stages: Stages) -> Plot:
    rows = [(name, row) for name, s in stages.items() for row in s.get("parity", ())]
    labels = [name if row["block"] == "whole stage" else row["block"] for name, row in rows]

    def draw(axes: Any) -> None:
        for y, (_, row) in enumerate(rows):
            error = row["relative_l2"]  # none where there are NaNs: off the scale
            place = 1.0 if error is None else max(error, 1e-9)
            axes.plot(place, y, "o", ms=4, color=DELEGATED if row["ok"] else ALERT)
        axes.axvline(rows[0][1]["limit"], color=ALERT, linewidth=1.0, linestyle="--")
        axes.set_yticks(range(len(rows)), labels)
        axes.set(xscale="log", xlabel="relative L2 error", ylim=(len(rows) - 0.5, -0.5))
        axes.grid(alpha=0.4)

    caption = (
        "Error of the stages, and of each block of the UNet, on the inputs of a real run, in order "
        "of execution. Dashed: the limit."
    )
    return plot("Parity", caption, 0.6 + 0.17 * len(rows), draw)
