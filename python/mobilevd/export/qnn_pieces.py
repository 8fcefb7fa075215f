"""The heaviest blocks of a large UNet, at their true size, compiled for HTP and executed here.

    python -m mobilevd.export.qnn_pieces --preset mobilevd-512x256 --piece resblock --json row.json
    python -m mobilevd.export.qnn_pieces --preset mobilevd-512x256 --extrapolate *.json

Weights and inputs are random: the figures are of time, memory and rounding. One process per piece,
so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..compress.flops import cost
from ..models import create_unet
from ..models.layout import frames_at
from ..models.resblock import SpatialResBlock
from ..models.transformer import SpatialBlock, TemporalBlock
from ..presets import PRESETS, Preset
from .flavour import Flavour
from .lowering import lower
from .qnn import execute
from .rewrites import prepare_block
from .rewrites.htp import HtpTemporalAttention
from .stages import Block, Stage, Tensor

PIECES: dict[str, type[nn.Module]] = {
    "resblock": SpatialResBlock,
    "spatial": SpatialBlock,
    "temporal": TemporalBlock,
}


def heaviest(preset: Preset, kind: type[nn.Module]) -> tuple[str, int]:
    """(path, FLOPs of one evaluation) of the block of that kind with the most FLOPs."""
    with torch.device("meta"):
        unet = create_unet(preset.unet)
    by_module = cost(preset.unet, preset.latent_size).by_module
    paths = [path for path, module in unet.named_modules() if isinstance(module, kind)]
    path = max(paths, key=lambda p: by_module[p][0])
    return path, by_module[path][0]


@torch.no_grad()
def make_piece(preset: Preset, path: str) -> Stage:
    """That block of the preset's UNet with random weights and its inputs' true shapes.

    The rest of the UNet never has memory.
    """
    seen: list[tuple[Any, ...]] = []
    h, w = preset.latent_size
    config = preset.unet
    with torch.device("meta"):
        unet = create_unet(config).eval()
        block = unet.get_submodule(path)
        hook = block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
        unet(
            torch.empty(1, config.num_frames, config.in_channels, h, w),
            torch.empty(1),
            torch.empty(1, 1, config.cross_attention_dim),
            torch.empty(1, config.num_added_time_ids),
        )
    hook.remove()
    torch.manual_seed(0)
    block.to_empty(device="cpu")
    for module in block.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    tensors = [x for x in seen[0] if isinstance(x, torch.Tensor)]
    inputs = tuple(Tensor(f"input_{i}", tuple(x.shape)) for i, x in enumerate(tensors))
    prepare_block(block, "qnn")
    for module in block.modules():
        if isinstance(module, HtpTemporalAttention):
            module.make_mask(frames_at(config, path))
    return Stage(path, Block(block, seen[0]).eval(), inputs, ())


def measure(
    preset: Preset, piece: str, flavour: Flavour, path: str | None, execute_it: bool
) -> dict[str, Any]:
    """Seconds and peak memory of lowering and of one execution in the emulator, and parity."""
    path, flops = (
        (path, cost(preset.unet, preset.latent_size).by_module[path][0])
        if path
        else heaviest(preset, PIECES[piece])
    )
    stage = make_piece(preset, path)
    stage.calibration = [stage.example(seed) for seed in range(1, 3)] if flavour.quantized else []
    start, cpu = time.perf_counter(), time.process_time()
    lowered = lower(stage, flavour)
    row = {
        "name": piece,
        "path": path,
        "inputs": [list(i.shape) for i in stage.inputs],
        **flavour.to_dict(),
        "gflop": flops / 1e9,
        "program_mb": len(lowered.program) / 1e6,
        "partitions": lowered.report.partitions,
        "cpu_ops": sum(op["count"] for op in lowered.report.cpu_ops),
        "weights_mb_fp32": sum(4e-6 * p.numel() for p in stage.module.parameters()),
        "lower_s": time.perf_counter() - start,
        "lower_cpu_s": time.process_time() - cpu,
        "lower_peak_rss_mb": _peak_mb(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} thread(s)",
    }
    if not execute_it:
        return row
    with torch.no_grad():
        want = stage.module(*stage.example())
    start, cpu = time.perf_counter(), time.process_time()
    (got,) = execute(lowered.program, stage.example())
    row |= {
        "emulate_s": time.perf_counter() - start,
        "emulate_cpu_s": time.process_time() - cpu,
        "emulate_peak_rss_mb": _peak_mb(),
        "relative_l2": float((got - want).norm() / want.norm()),
        "max_abs": float((got - want).abs().max()),
    }
    return row


def extrapolate(preset: Preset, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What all blocks of each kind would take, from the one measured: lowering by their number,
    execution by their FLOPs. CPU seconds of one core; resamplers and projections are left out."""
    figures = cost(preset.unet, preset.latent_size)
    with torch.device("meta"):
        unet = create_unet(preset.unet)
    made = []
    for row in rows:
        kind = PIECES[row["name"]]
        gflop = [
            figures.by_module[path][0] / 1e9
            for path, module in unet.named_modules()
            if isinstance(module, kind)
        ]
        made.append(
            {
                "name": f"all {row['name']} {row['precision']}",
                "blocks": len(gflop),
                "share_of_flops": sum(gflop) * 1e9 / figures.flops,
                "lower_cpu_s": row["lower_cpu_s"] * len(gflop),
                "emulate_cpu_s": row["emulate_cpu_s"] * sum(gflop) / row["gflop"],
            }
        )
    return made


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--preset", default="mobilevd-512x256", choices=sorted(PRESETS))
    parser.add_argument("--piece", default="resblock", choices=sorted(PIECES))
    parser.add_argument("--path", help="this block of the UNet instead of the piece's heaviest")
    parser.add_argument("--compile-only", action="store_true")
    parser.add_argument("--extrapolate", type=Path, nargs="+", help="rows that --json wrote")
    parser.add_argument("--precision", default="fp16", choices=["fp16", "16a8w", "8a8w"])
    parser.add_argument("--soc", default="SM8650")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.extrapolate:
        rows = [json.loads(path.read_text()) for path in given.extrapolate]
        for row in extrapolate(PRESETS[given.preset], rows):
            print(json.dumps(row))
        return
    flavour = Flavour("qnn", given.precision, soc=given.soc)
    row = measure(PRESETS[given.preset], given.piece, flavour, given.path, not given.compile_only)
    print(json.dumps(row))
    if given.json:
        given.json.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
