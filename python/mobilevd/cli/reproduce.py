"""``mobilevd reproduce``: the small benchmark, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .arguments import Json
from .main import app
from .output import progress_bar, table, write_json

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
    max_minutes: Annotated[
        float | None, typer.Option(help="Per stage; run again to go on.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of this process.")] = None,
    list_stages: Annotated[bool, typer.Option("--list", help="What is done, and stop.")] = False,
    json: Json = None,
) -> None:
    """Train the teacher and every method on the small benchmark and print their table."""
    from ..reproduce.ablations import ABLATIONS
    from ..reproduce.run import Benchmark, run_stage
    from ..reproduce.stages import STAGES, stage_named

    if preset != "mini":
        raise UsageError(f"the benchmark is built for preset mini, not {preset}")
    if threads:
        import torch

        torch.set_num_threads(threads)
    benchmark = Benchmark(results, work)
    try:
        wanted = [stage_named(s) for s in stage] if stage else [*STAGES, *ABLATIONS]
    except ValueError as error:
        raise UsageError(str(error)) from None
    if list_stages:
        rows = [[s.name, s.method, s.preset_name, benchmark.done(s)] for s in wanted]
        table("stages", ["stage", "method", "preset", "done"], rows)
        return
    with progress_bar("reproduce") as report:
        for i, each in enumerate(wanted):
            report(i, len(wanted), each.name)
            if not run_stage(benchmark, each, max_minutes, report):
                print(f"{each.name}: stopped after {max_minutes} minutes; run again to go on")
                return
            print(f"{each.name}: done")
    write_json(json, [])
