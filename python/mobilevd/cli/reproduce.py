"""``mobilevd reproduce``: the small benchmark, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .arguments import Json
from .main import app
from .output import progress_bar, table, write_json

if TYPE_CHECKING:
    from ..reproduce.run import Benchmark

DEFAULT_RESULTS = Path("results/mini")


@app.command(epilog="Example: mobilevd reproduce --preset mini --evaluate-only --json table.json")
def reproduce(
    preset: Annotated[str, typer.Option(help="mini, the only one two cores can train.")] = "mini",
    results: Annotated[
        Path, typer.Option(help="Weights, logs and figures, kept.")
    ] = DEFAULT_RESULTS,
    work: Annotated[Path, typer.Option(help="Checkpoints and caches.")] = Path("runs/mini"),
    stage: Annotated[
        list[str] | None, typer.Option(help="Only this stage; repeatable. Default: all.")
    ] = None,
    evaluate_only: Annotated[
        bool, typer.Option("--evaluate-only", help="Train nothing: the weights in --results.")
    ] = False,
    train_only: Annotated[bool, typer.Option("--train-only", help="Measure nothing.")] = False,
    ablations: Annotated[
        bool, typer.Option("--ablations/--no-ablations", help="The paper's Tables 3 to 6.")
    ] = True,
    clips: Annotated[
        int, typer.Option(min=2, help="Of every row, against as many or more.")
    ] = 1024,
    latency: Annotated[
        bool, typer.Option(help="--no-latency leaves it for a later run, on an idle machine.")
    ] = True,
    max_minutes: Annotated[
        float | None, typer.Option(help="Per training; run again to go on.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of this process.")] = None,
    list_stages: Annotated[bool, typer.Option("--list", help="What is done, and stop.")] = False,
    json: Json = None,
) -> None:
    """Train the teacher and every method on the small benchmark and print their table.

    What is in --results is not done again. Several processes may work on different --stage at the
    same time, or share one: accelerate launch --multi_gpu --num_processes 2 -m mobilevd reproduce
    """
    from ..reproduce.ablations import ABLATIONS
    from ..reproduce.run import Benchmark, run_stage
    from ..reproduce.stages import STAGES, stage_named

    if preset != "mini":
        raise UsageError(f"the benchmark is built for preset mini, not {preset}")
    if evaluate_only and train_only:
        raise UsageError("--evaluate-only and --train-only exclude each other")
    if threads:
        import torch

        torch.set_num_threads(threads)
    benchmark = Benchmark(results, work)
    try:
        wanted = [stage_named(s) for s in stage or ()]
    except ValueError as error:
        raise UsageError(str(error)) from None
    wanted = wanted or [*STAGES, *(ABLATIONS if ablations else ())]
    if list_stages:
        rows = [[s.name, s.method, s.preset_name, benchmark.done(s)] for s in wanted]
        table("stages", ["stage", "method", "preset", "done"], rows)
        return
    with progress_bar("reproduce") as report:
        for i, each in enumerate([] if evaluate_only else wanted):
            report(i, len(wanted), each.name)
            if not run_stage(benchmark, each, max_minutes, report):
                print(f"{each.name}: stopped after {max_minutes} minutes; run again to go on")
                return
            print(f"{each.name}: done")
    if not train_only:
        _measure(benchmark, [s.name for s in wanted], clips, latency, json)


def _measure(
    benchmark: Benchmark, stages: list[str], clips: int, latency: bool, json: Path | None
) -> None:
    """The rows whose weights are there; a table of those in the paper's Table 1, then the rest."""
    from ..reproduce.measure import measure_row
    from ..reproduce.rows import ABLATION_ROWS, STAGE_ROWS, SYSTEMS
    from ..reproduce.table import COLUMNS, cells, write_tables

    with progress_bar("reproduce") as report:
        measured = {}
        for row in (*SYSTEMS, *STAGE_ROWS, *ABLATION_ROWS):
            if row.stage in stages and benchmark.weights(row.stage).exists():
                timed = latency and row not in ABLATION_ROWS
                measured[row.name] = measure_row(benchmark, row, report, clips, timed)
    for title, rows in (
        ("systems", SYSTEMS), ("stages", STAGE_ROWS), ("ablations", ABLATION_ROWS),
    ):  # fmt: skip
        found = [measured[r.name] for r in rows if r.name in measured]
        if found:
            table(title, COLUMNS, cells(found, measured.get("svd-hd")))
    write_tables(benchmark.results)
    write_json(json, [*measured.values()])
