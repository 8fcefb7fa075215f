"""What a run will take, before it starts: parameters, FLOPs, memory, time and cost.

Memory of one GPU is the sum of what the loop holds at the worst moment of a step:

    weights      of all networks, float32
    gradients    of every player, float32: one player's stay while the other moves
    moments      Adam's two
    average      of the result's weights
    exchange     a piece of the gradients and its sum, with several processes
    casts        bf16 copies of the moving player's weights
    activations  greatest live size during loss and backward pass (``step_cost``)

No allowance for the allocator's fragments, the CUDA context (about 1 GB) or cuDNN's workspace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from ..compress.flops import cost
from ..errors import UsageError
from ..models.config import UNetConfig
from ..models.plan import (
    fitted_temporal_blocks,
    temporal_blocks,
    with_funnels,
    with_temporal_blocks,
)
from ..models.store import Model
from ..presets import Preset
from .loop import EXCHANGED
from .method import Method, moved, networks_of
from .methods.mobilevd_options import Options
from .methods.sfv import Sfv
from .methods.svd import Svd
from .recipe_file import RecipeFile
from .step_cost import PlayerCost, meta_batch, player_costs
from .train import DISTILLATIONS

GB = 1e9


@dataclass(frozen=True)
class Gpu:
    """Dense peaks of the vendor's data sheet, FLOP/s (fp32: TF32); memory in bytes."""

    name: str
    bf16: float
    fp32: float
    memory: float


GPUS = {
    "a100": Gpu("A100 SXM 80 GB", 312e12, 156e12, 80 * GB),
    "h100": Gpu("H100 SXM 80 GB", 989e12, 495e12, 80 * GB),
}
# A guess, to be replaced by a measured one: what diffusion training commonly reaches.
UTILISATION = 0.35
# Bytes of activations under bf16 autocast over those in fp32, measured on `mini` (0.59 without and
# 0.59 with checkpointing, on a CPU, with the casts of the weights).
BF16_SHARE = 0.6


def stage_config(config: UNetConfig, stage: str | None, options: Options) -> UNetConfig:
    """The UNet that is trained in a stage of MobileVD's; while blocks are chosen all are there."""
    if stage in (None, "low_resolution"):
        return config
    config = replace(config, collapsed_cross_attention=True)
    if stage in ("cross_attention", "adversarial"):
        return config
    config = replace(
        config,
        temporal_factor=2 if "temporal" in options.multiscaling else 1,
        spatial_factor=2 if "spatial" in options.multiscaling else 1,
    )
    if stage in ("multiscaling", "pruning"):
        return config
    kept = fitted_temporal_blocks(config, options.kept(temporal_blocks(config)))
    pruned = with_temporal_blocks(config, kept)
    config = with_funnels(pruned, options.fun_factor, options.funnel_layers)
    return replace(config, unmerged_funnels=not options.merged_first)


def meta_method(recipe: RecipeFile) -> Method:
    """The recipe's method on networks without memory. ValueError for a stage without training."""
    if recipe.stage == "cross_attention":
        raise ValueError("stage cross_attention has nothing to train")
    preset, constants = recipe.preset, recipe.constants
    teacher_preset = replace(preset, unet=UNetConfig(**_family(preset)))
    config = stage_config(teacher_preset.unet, recipe.stage, recipe.options)
    with torch.device("meta"):
        model = Model.fresh(replace(preset, unet=config))
        if recipe.method == "svd" or recipe.stage == "low_resolution":
            return moved(Svd(model), "meta")
        teacher = Model.fresh(teacher_preset)
    if recipe.method == "mobilevd":
        return moved(Sfv(model, teacher, constants, recipe.options.temporal_heads), "meta")
    return moved(DISTILLATIONS[recipe.method](model, teacher, constants), "meta")


def _family(preset: Preset) -> dict[str, Any]:
    """The preset's UNet without what compression wrote down."""
    names = (
        "in_channels", "out_channels", "block_out_channels", "attention_levels",
        "layers_per_block", "transformer_layers_per_block", "num_attention_heads",
        "cross_attention_dim", "addition_time_embed_dim", "num_added_time_ids", "num_frames",
    )  # fmt: skip
    return {name: getattr(preset.unet, name) for name in names}


def budget(
    recipe: RecipeFile,
    gpu: str = "a100",
    utilisation: float = UTILISATION,
    price_per_hour: float | None = None,
) -> dict[str, Any]:
    """Figures under plain names with their units; ``price_per_hour`` is that of one GPU.

    Full-size runs take up to two minutes to count and no memory. UsageError: unknown GPU;
    ValueError: a share outside (0, 1], nothing to train.
    """
    if gpu not in GPUS:
        raise UsageError(f"unknown gpu '{gpu}'; known: {', '.join(GPUS)}")
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation must be in (0, 1], not {utilisation:g}")
    settings, card = recipe.settings, GPUS[gpu]
    batch = meta_batch(recipe.preset, recipe.batch.per_gpu, pixels=not recipe.data.cached_clips)
    method = meta_method(recipe)
    plain, checkpointed = (
        player_costs(method, batch, c, flops=c == settings.gradient_checkpointing)
        for c in (False, True)
    )
    chosen = checkpointed if settings.gradient_checkpointing else plain
    held = _held(recipe, method, chosen)
    bf16 = settings.precision == "bf16"
    size = 4 * BF16_SHARE if bf16 else 4
    totals = {
        what: sum(held.values()) + size * max(c.activations for c in costs)
        for what, costs in (("plain", plain), ("checkpointed", checkpointed))
    }
    memory = {**held, "activations": size * max(c.activations for c in chosen)}
    per_clip = sum(c.flops / c.every for c in chosen) / recipe.batch.per_gpu
    step = per_clip * recipe.batch.clips
    speed = recipe.batch.gpus * (card.bf16 if bf16 else card.fp32) * utilisation
    making = _making_clips(recipe)
    hours = (step * settings.steps + making) / speed / 3600
    return {
        "name": recipe.path.stem,
        "method": recipe.method,
        "stage": recipe.stage,
        "params": sum(p.numel() for p in _parameters(method)),
        "params_trained": sum(c.trained for c in chosen),
        "tflops_per_clip": per_clip / 1e12,
        "tflops_per_step": step / 1e12,
        "steps": settings.steps,
        "clips_per_step": recipe.batch.clips,
        **{f"memory_gb_{k}": v / GB for k, v in memory.items()},
        "memory_gb": sum(memory.values()) / GB,
        "memory_gb_without_checkpointing": totals["plain"] / GB,
        "memory_gb_with_checkpointing": totals["checkpointed"] / GB,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "gpu": card.name,
        "gpus": recipe.batch.gpus,
        "gpu_memory_gb": card.memory / GB,
        "fits": sum(memory.values()) < card.memory,
        "utilisation": utilisation,
        "seconds_per_step": step / speed,
        "hours_making_clips": making / speed / 3600,
        "hours": hours,
        "gpu_hours": hours * recipe.batch.gpus,
        "cost": None if price_per_hour is None else hours * recipe.batch.gpus * price_per_hour,
    }


def _parameters(method: Method) -> list[torch.Tensor]:
    networks = networks_of(method)
    return list({id(p): p for n in networks for p in (*n.parameters(), *n.buffers())}.values())


def _held(recipe: RecipeFile, method: Method, costs: list[PlayerCost]) -> dict[str, float]:
    """Bytes that a process holds besides activations."""
    trained, largest = sum(c.trained for c in costs), max(c.trained for c in costs)
    result = next(c.trained for c in costs if c.name == method.result)
    return {
        "weights": 4.0 * sum(p.numel() for p in _parameters(method)),
        "gradients": 4.0 * trained,
        "moments": 8.0 * trained,
        "average": 4.0 * result,
        "exchange": 8.0 * min(largest, EXCHANGED) if recipe.batch.gpus > 1 else 0.0,
        "casts": 2.0 * largest if recipe.settings.precision == "bf16" else 0.0,
    }


def _making_clips(recipe: RecipeFile) -> float:
    """FLOPs of LADD's data: the teacher's own clips, once."""
    if recipe.method != "ladd":
        return 0.0
    preset = recipe.preset
    sampling = replace(preset.sampling, steps=recipe.constants.teacher_steps)
    once = cost(preset.unet, preset.latent_size).flops
    return float(once * sampling.evaluations * recipe.data.cached_clips)


def budget_rows(figures: dict[str, Any]) -> list[list[str]]:
    """(what, value) lines of a table for :func:`budget`'s figures."""
    gpus, parts = figures["gpus"], [k for k in figures if k.startswith("memory_gb_")]
    rows = [
        ["parameters", f"{figures['params'] / 1e6:.1f} M"],
        ["trained", f"{figures['params_trained'] / 1e6:.1f} M"],
        ["per clip and step", f"{figures['tflops_per_clip']:.4g} TFLOPs"],
        ["step", f"{figures['clips_per_step']} clips, {figures['tflops_per_step']:.4g} TFLOPs"],
        ["steps", str(figures["steps"])],
    ]
    rows += [
        [k.removeprefix("memory_gb_").replace("_", " "), f"{figures[k]:.2f} GB"] for k in parts
    ]
    fits = "fits" if figures["fits"] else "DOES NOT FIT"
    rows += [
        [
            "memory of a GPU",
            f"{figures['memory_gb']:.1f} GB of {figures['gpu_memory_gb']:.0f}: {fits}",
        ],
        ["speed", f"{gpus} x {figures['gpu']} at {figures['utilisation']:.0%} of peak"],
        ["time", f"{figures['seconds_per_step']:.3g} s a step, {figures['hours']:.4g} h"],
        ["GPU hours", f"{figures['gpu_hours']:.4g}"],
    ]
    if figures["cost"] is not None:
        rows.append(["cost", f"{figures['cost']:.2f}"])
    return rows
