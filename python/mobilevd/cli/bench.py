"""``mobilevd bench``: kernels, the stages of a bundle, or a UNet against its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..presets import PRESETS
from .arguments import BackendLibs, Json, at_least
from .main import app
from .output import progress_bar, table, write_json


@app.command(
    epilog="Example: mobilevd bench --kernel temporal_attention --json bench.json && "
    "mobilevd bench --preset mobilevd-512x256 --peers --threads 2 --json peers.json"
)
def bench(
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Time this bundle's stages instead; with --peers, ours, exported already."
        ),
    ] = None,
    kernel: Annotated[list[str] | None, typer.Option(help="Repeatable. Default: all.")] = None,
    shape: Annotated[list[str] | None, typer.Option(help="Of one kernel: 14x512x640x64.")] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"With --peers; one of: {', '.join(PRESETS)}.")
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Time one UNet evaluation of --preset by every peer.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this peer; repeatable. Kernels: torch, onnxruntime, openvino, executorch; "
            "a UNet: diffusers-svd, torch-eager, torch-compile, onnxruntime, openvino, "
            "executorch-xnnpack."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="With --peers: random:SEED (default random:0) or a model folder."),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            help="Repeatable. Default: 1 and 2; for a bundle, its own; with --peers, all cores."
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats",
            "--repeat",
            help="Calls timed, 15 at most; for a bundle, clips: 3; with --peers, evaluations: 3.",
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="With --peers: keeps what was converted and measured; the same again goes on. "
            "Default: runs/peers."
        ),
    ] = None,
    delete_converted: Annotated[
        bool,
        typer.Option(
            "--delete-converted",
            help="With --peers: what was converted for a peer goes once it is measured.",
        ),
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            help="With --peers: cuda for torch's rows on a GPU, without ours. Never run so far: "
            "there was no GPU."
        ),
    ] = "cpu",
    backend_lib: BackendLibs = None,
    json: Json = None,
) -> None:
    """Time the kernels against their peers, the stages of a bundle, or one UNet evaluation of a
    preset by every peer: diffusers' SVD, torch, ONNX Runtime, OpenVINO, plain ExecuTorch, ours.

    With --peers each has a process of its own, and ours is timed before and after each. It takes as
    long as it takes, and several times the model's weights of disk.
    """
    for count in threads or ():
        at_least("--threads", count, 1)
    at_least("--repeats", repeats, 1)
    alone = (preset, weights, work, device, delete_converted)
    if not peers and alone != (None, None, None, "cpu", False):
        raise UsageError(
            "--preset, --weights, --work, --device and --delete-converted go with --peers"
        )
    if peers:
        from .bench_peers import bench_peers

        if kernel or shape or backend_lib or len(threads or ()) > 1:
            raise UsageError(
                "--peers takes no --kernel, --shape, --backend-lib or second --threads"
            )
        rows = bench_peers(
            preset,
            weights or "random:0",
            threads[0] if threads else None,
            repeats or 3,
            work or Path("runs/peers"),
            only or (),
            device,
            bundle,
            delete_converted,
        )
    elif bundle is None:
        if backend_lib:
            raise UsageError("--backend-lib goes with --bundle")
        from ..kernels.bench.__main__ import bench as bench_kernels

        with progress_bar("bench") as report:
            rows = bench_kernels(
                kernel or (), only or (), threads or (), repeats or 15, shape or (), report
            )
    else:
        from .stage_times import bench_bundle

        if kernel or shape or only or len(threads or ()) > 1:
            raise UsageError(
                "with --bundle, only --threads N, --repeats, --backend-lib and --json make sense"
            )
        clips = repeats or 3
        rows = bench_bundle(bundle, threads[0] if threads else 0, clips, backend_lib or ())
        table(
            f"{bundle}, {clips} clips",
            ["stage", "calls", "median ms", "p90 ms"],
            [[r["name"], r["calls"], f"{r['median_ms']:.1f}", f"{r['p90_ms']:.1f}"] for r in rows],
        )
    write_json(json, rows)
