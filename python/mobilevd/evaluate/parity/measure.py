"""The figures of a bundle: every stage as the bundle has it, every block of the UNet on its own."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from ...export.calibration import fitted
from ...export.flavour import Flavour
from ...export.lowering import lower
from ...export.stages import STAGES, Block, Stage, Tensor, make_stage, with_tensors
from ...models.parts import Parts
from ...models.store import Model
from ..programs import run_calls, weights_file
from .figures import compare, worst
from .recording import Call, record_blocks, record_stages

# Relative L2 that a sound flavour stays under, per block and per stage. fp32 leaves room for
# ExecuTorch's GroupNorm (E[x^2] - E[x]^2) and for GELU's tanh form.
LIMITS = {"fp32": 5e-4, "fp16": 1e-2, "16a8w": 5e-2, "int8": 1e-1, "8a8w": 2e-1}
WHOLE = "whole stage"

Progress = Callable[[int, int, str], object]
Rows = dict[str, list[dict[str, Any]]]


def measure_parity(
    bundle: Path,
    manifest: Mapping[str, Any],
    model: Parts,
    picture: Image.Image,
    limit: float | None = None,
    stages: Sequence[str] = STAGES,
    only: Sequence[str] | None = (),
    progress: Progress = lambda done, total, what: None,
) -> Rows:
    """Stage -> rows of ``block``, ``reference``, ``limit``, ``ok`` and the figures of ``compare``.

    A block is rewritten and lowered alone, in the bundle's flavour, and given what the model gives
    it in a run with ``picture``. It is held against the model's own block; where a rewrite changed
    what blocks pass to each other (``reference``: "rewritten"), against the rewritten one in eager.
    The last row of a stage is the bundle's own program against the model. ``only``: blocks to look
    at, by the beginning of their path; all if empty, none if None. Needs ``prepare_runtime``.

    Of a ``model`` that gives its networks one by one, one is held at a time, and none while a
    stage's program runs whole.

    ValueError if the bundle is not of this model's preset, no block has such a path, or the model
    itself gives NaN.
    """
    check_same(manifest, model)
    flavour = Flavour.from_dict(manifest)
    limit = LIMITS[flavour.precision] if limit is None else limit
    wanted = [name for name in STAGES if name in stages]
    calls = record_stages(
        model,
        picture,
        last=wanted[-1],
        progress=lambda done, total: progress(done, total, "eager clip"),
    )
    rows: Rows = {}
    for name in wanted:
        entries = []
        if name == "unet" and only is not None:
            entries = _blocks(model.part("unet"), calls[name], flavour, only, progress)
        gc.collect()  # modules hold weights, and themselves in circles
        progress(1, 1, f"{name}: whole")
        entries.append(_whole(bundle, manifest["stages"][name], calls.pop(name)))
        rows[name] = [_judged(entry, limit) for entry in entries]
    return rows


def first_over(rows: Rows) -> str | None:
    """One line about the first block, in the order of execution, that is over its limit; NaN and
    infinite values come before what is only far."""
    over = [(stage, row) for stage, entries in rows.items() for row in entries if not row["ok"]]
    if not over:
        return None
    stage, row = next((found for found in over if found[1]["non_finite"]), over[0])
    what = (
        f"{row['non_finite']} values are NaN or infinite"
        if row["non_finite"]
        else f"relative L2 {row['relative_l2']:.2e}, limit {row['limit']:.0e}"
    )
    rest = f"; {len(over) - 1} more" if len(over) > 1 else ""
    return f"parity: {stage}, {row['block']}: {what}{rest}"


def _judged(entry: dict[str, Any], limit: float) -> dict[str, Any]:
    ok = not entry["non_finite"] and entry["relative_l2"] <= limit
    return {**entry, "limit": limit, "ok": ok}


def check_same(manifest: Mapping[str, Any], model: Parts) -> None:
    """ValueError if a bundle is not of this model, by its preset and shapes."""
    from ...export.bundle import describe

    for key in ("preset", "shapes"):
        have, want = manifest[key], describe(model.preset, Flavour())[key]
        if have != want:
            raise ValueError(
                f"the bundle's {key} is {have}, the model's {want}: give the model that was "
                "exported (--model)"
            )


def _fitted(tensors: Sequence[torch.Tensor], shapes: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """As a stage takes them; of a clip that goes frame by frame, the first part."""
    return list(fitted(tuple(tensors), shapes)[0])


def _whole(bundle: Path, entry: Mapping[str, Any], calls: Sequence[Call]) -> dict[str, Any]:
    shapes = [i["shape"] for i in entry["inputs"]]
    inputs = [_fitted(call.tensors, shapes) for call in calls]
    outputs = run_calls(bundle / entry["program"], inputs, weights_file(bundle, entry))
    figures = [
        compare(got, call.output[: got.shape[0]]) for got, call in zip(outputs, calls, strict=True)
    ]
    return {"block": WHOLE, "reference": "eager", **worst(figures)}


def _blocks(
    model: Model,
    calls: Sequence[Call],
    flavour: Flavour,
    only: Sequence[str],
    progress: Progress,
) -> list[dict[str, Any]]:
    stage = make_stage(model, "unet", flavour.backend)
    shapes = [i.shape for i in stage.inputs]
    rewritten = stage.module.get_submodule("unet")
    eager = [record_blocks(model.unet, model.unet.forward_sinusoids, c.tensors) for c in calls]
    if rewritten.channels_last:
        eager = [{path: _channels_last(call) for path, call in of.items()} for of in eager]
    prepared = [record_blocks(rewritten, stage.module, _fitted(c.tensors, shapes)) for c in calls]
    known = list(prepared[0])
    paths = [path for path in known if not only or _within(path, only)]
    for prefix in only:
        if not any(_within(path, [prefix]) for path in paths):
            raise ValueError(f"no block {prefix} in the UNet; there are {', '.join(known)}")
    entries = []
    for i, path in enumerate(paths):
        progress(i, len(paths), path)
        # Taken out: at full size all blocks' features are some GB.
        both = zip(eager, prepared, strict=True)
        pairs = [_pair(e.pop(path, None), p.pop(path)) for e, p in both]
        alone = _block_stage(path, rewritten.get_submodule(path), [given for given, _, _ in pairs])
        program = lower(alone, flavour).program
        outputs = run_calls(program, [given.tensors for given, _, _ in pairs])
        figures = [compare(got, want) for got, (_, want, _) in zip(outputs, pairs, strict=True)]
        entries.append({"block": path, "reference": pairs[0][2], **worst(figures)})
    return entries


def _channels_last(call: Call) -> Call:
    """Features in the rewritten blocks' layout; what else a block is given has fewer dimensions."""

    def moved(x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).contiguous() if x.dim() == 4 else x

    tensors = [moved(t) for t in call.tensors]
    return Call(with_tensors(call.arguments, tensors), moved(call.output))


def _within(path: str, prefixes: Sequence[str]) -> bool:
    return any(path == p or path.startswith(f"{p}.") for p in prefixes)


def _pair(eager: Call | None, prepared: Call) -> tuple[Call, torch.Tensor, str]:
    """What the lowered block is given, what it should answer, and who says so."""

    def shapes(call: Call) -> list[torch.Size]:
        return [t.shape for t in (*call.tensors, call.output)]

    if eager is None or shapes(eager) != shapes(prepared):
        return prepared, prepared.output, "rewritten"
    return (
        Call(with_tensors(prepared.arguments, eager.tensors), eager.output),
        eager.output,
        "eager",
    )


def _block_stage(path: str, block: nn.Module, calls: Sequence[Call]) -> Stage:
    call = calls[0]
    return Stage(
        path,
        Block(block, call.arguments).eval(),
        tuple(Tensor(f"input_{i}", tuple(t.shape)) for i, t in enumerate(call.tensors)),
        (Tensor("output", tuple(call.output.shape)),),
        calibration=[c.tensors for c in calls],
    )
