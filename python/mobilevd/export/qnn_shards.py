"""A large UNet as several HTP context binaries, cut at the borders of its blocks.

A context's weights, activations and spill buffer share the 32-bit address space of one process on
the DSP, so that a UNet of 1.3 billion weights does not fit one. A shard is a run of consecutive
steps (a ResBlock with its transformer, a resampler, ...); what crosses a border goes through the
CPU's memory as float32, as ExecuTorch passes inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..models.multiscale import enter_coarse_scale, leave_coarse_scale
from ..models.unet import UNet

# Of weights in one context: what is left of 4 GB after activations and spill at the paper's sizes
# is not published, so a shard stays well below it.
DEFAULT_LIMIT_BYTES = 1 << 30
INPUTS = ("sample", "timestep_sinusoid", "encoder_hidden_states", "added_time_sinusoids")
TIME, TOKEN = "time", "encoder_hidden_states"


@dataclass(frozen=True)
class Step:
    """``run`` makes the tensor called ``name`` of those called ``inputs``."""

    name: str
    inputs: tuple[str, ...]
    run: Callable[..., torch.Tensor]
    modules: tuple[nn.Module, ...]

    def weight_bytes(self, precision: str) -> int:
        """fp16: two bytes each; integers: one, and four for biases and norms' vectors."""
        weights = [p for m in self.modules for p in m.parameters()]
        if precision == "fp16":
            return sum(2 * p.numel() for p in weights)
        return sum(p.numel() * (1 if p.dim() > 1 else 4) for p in weights)


def steps(unet: UNet) -> list[Step]:
    """``UNet.forward_sinusoids`` as a list: run one after another, the same values."""
    config, found = unet.config, []
    inside = config.num_frames // config.temporal_factor

    def add(name: str, inputs: tuple[str, ...], run: Callable[..., Any], *modules: Any) -> str:
        found.append(Step(name, inputs, run, modules))
        return name

    def layers(block: Any, path: str, x: str, frames: int, skips: list[str], up: bool) -> str:
        for i in range(len(block.resnets)):
            used = (x, *([skips.pop()] if up else []))

            def run(*values: torch.Tensor, i: int = i) -> torch.Tensor:
                *maps, time, token = values
                joined = torch.cat(maps, dim=1) if up else maps[0]
                return block.layer(i, joined, time, token, frames)

            modules = (block.resnets[i], *block.attentions[i : i + 1])
            x = add(f"{path}.{i}", (*used, TIME, TOKEN), run, *modules)
            if not up:
                skips.append(x)
        return x

    def embed(timestep: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        return F.silu(unet.time_embedding(timestep) + unet.add_embedding(added))

    add(TIME, (INPUTS[1], INPUTS[3]), embed, unet.time_embedding, unet.add_embedding)
    x = add("conv_in", ("sample",), lambda s: unet.conv_in(s.flatten(0, 1)), unet.conv_in)
    skips = [x]
    for i, block in enumerate(unet.down_blocks):
        path = f"down_blocks.{i}"
        x = layers(block, path, x, inside if i else config.num_frames, skips, up=False)
        if block.downsampler is not None:

            def down(x: torch.Tensor, i: int = i, block: Any = block) -> torch.Tensor:
                x = block.downsampler(x)
                return x if i else enter_coarse_scale(x, config)

            x = add(f"{path}.downsampler", (x,), down, block.downsampler)
            skips.append(x)
    mid = unet.mid_block

    def middle(x: torch.Tensor, time: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        return mid(x, time, token, inside)

    x = add("mid_block", (x, TIME, TOKEN), middle, mid)
    last = len(unet.up_blocks) - 1
    for i, block in enumerate(unet.up_blocks):
        frames = config.num_frames if i == last else inside
        x = layers(block, f"up_blocks.{i}", x, frames, skips, up=True)
        if block.upsampler is not None:

            def up(x: torch.Tensor, i: int = i, block: Any = block) -> torch.Tensor:
                x = block.upsampler(x)
                return leave_coarse_scale(x, config) if i == last - 1 else x

            x = add(f"up_blocks.{i}.upsampler", (x,), up, block.upsampler)

    def out(x: torch.Tensor) -> torch.Tensor:
        x = unet.conv_out(F.silu(unet.conv_norm_out(x)))
        return x.reshape(-1, config.num_frames, *x.shape[1:])

    add("v_prediction", (x,), out, unet.conv_norm_out, unet.conv_out)
    return found


class Shard(nn.Module):
    """Consecutive steps as one network: the tensors called ``inputs`` in, ``outputs`` out."""

    def __init__(self, run: list[Step], everything: list[Step]) -> None:
        super().__init__()
        self.steps = run
        self.blocks = nn.ModuleList(m for step in run for m in step.modules)
        made = {step.name for step in run}
        read = dict.fromkeys(name for step in run for name in step.inputs)
        self.inputs = tuple(name for name in read if name not in made)
        others = {n for step in everything if step.name not in made for n in step.inputs}
        self.outputs = tuple(
            step.name for step in run if step.name in others or step is everything[-1]
        )

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values = dict(zip(self.inputs, tensors, strict=True))
        for step in self.steps:
            values[step.name] = step.run(*(values[name] for name in step.inputs))
        return tuple(values[name] for name in self.outputs)


def shards(unet: UNet, precision: str, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> list[Shard]:
    """As few as the limit on a shard's weights allows, filled from the front.

    ValueError names a step that is over the limit by itself.
    """
    everything = steps(unet)
    runs: list[list[Step]] = [[]]
    size = 0
    for step in everything:
        own = step.weight_bytes(precision)
        if own > limit_bytes:
            raise ValueError(
                f"{step.name} alone has {own / 1e6:.0f} MB of weights in {precision}: a shard of "
                f"{limit_bytes / 1e6:.0f} MB is too small"
            )
        if size + own > limit_bytes:
            runs.append([])
            size = 0
        runs[-1].append(step)
        size += own
    return [Shard(run, everything) for run in runs]


@dataclass
class ShardPlan:
    """A row of the plan; shapes by name, bytes as they cross (float32)."""

    blocks: list[str]
    weight_bytes: int
    inputs: dict[str, list[int]] = field(default_factory=dict)
    outputs: dict[str, list[int]] = field(default_factory=dict)

    @property
    def crossing_bytes(self) -> int:
        return sum(4 * prod(s) for s in (*self.inputs.values(), *self.outputs.values()))


@torch.no_grad()
def plan(
    unet: UNet,
    latent_size: tuple[int, int],
    precision: str,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> list[ShardPlan]:
    """Runs the shards, on the meta device if ``unet`` is there, for the shapes between them."""
    config, device = unet.config, unet.conv_in.weight.device
    shapes: list[tuple[int, ...]] = [
        (1, config.num_frames, config.in_channels, *latent_size),
        (1, config.block_out_channels[0]),
        (1, 1, config.cross_attention_dim),
        (1, config.num_added_time_ids * config.addition_time_embed_dim),
    ]
    values = {n: torch.empty(s, device=device) for n, s in zip(INPUTS, shapes, strict=True)}
    rows = []
    for shard in shards(unet, precision, limit_bytes):
        row = ShardPlan(
            [step.name for step in shard.steps],
            sum(step.weight_bytes(precision) for step in shard.steps),
        )
        row.inputs = {name: list(values[name].shape) for name in shard.inputs}
        made = shard(*(values[name] for name in shard.inputs))
        values.update(zip(shard.outputs, made, strict=True))
        row.outputs = {name: list(values[name].shape) for name in shard.outputs}
        rows.append(row)
    return rows
