"""What one training step computes and holds, from the method itself on the meta device.

Every player's loss and its backward pass run without memory: FLOPs are those of the matrix products
(2 x multiply-add, as ``compress.flops``), so a trained pass counts about three times its forward
pass, one without gradients once, one that gradients only go through twice, and checkpointed blocks
once more. Live elements are counted as ``compress.live_memory`` does. Spatial attention is the
fused one, which keeps no scores, except where a method asks for second derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from ..compress.live_memory import PeakElements
from ..presets import Preset
from .clip_noise import ClipNoise
from .data import Batch
from .gradient_checkpointing import checkpoint_blocks
from .method import Method, networks_of

_FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@register_flop_formula(_FUSED)
def _attention_flops(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], *_: Any, **__: Any
) -> int:
    """q [..., S, d], k [..., T, d], v [..., T, e]: scores and their product with v."""
    return 2 * prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


@register_flop_formula(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward)
def _attention_backward_flops(
    grad: tuple[int, ...],
    q: tuple[int, ...],
    k: tuple[int, ...],
    v: tuple[int, ...],
    *_: Any,
    **__: Any,
) -> int:
    """Scores again, then the gradients of the weights, of v, of q and of k."""
    return 2 * prod(q[:-1]) * k[-2] * (3 * q[-1] + 2 * v[-1])


@contextmanager
def _on_meta() -> Iterator[None]:
    """Fused attention, which the meta device would not choose; a draw's value there is 0.

    Both are replaced by name: a function mode would not hold while checkpointed blocks run again.
    """
    attention, to_cpu = F.scaled_dot_product_attention, torch.Tensor.cpu

    def fused(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, scale: float | None = None
    ) -> torch.Tensor:
        # Fused kernels have no second derivative, which a method may ask for.
        if not torch.backends.cuda.flash_sdp_enabled():
            return attention(q, k, v, scale=scale)
        return _FUSED(q, k, v, scale=scale)[0]

    def zeros(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(x.shape, dtype=x.dtype) if x.is_meta else to_cpu(x)

    try:
        F.scaled_dot_product_attention, torch.Tensor.cpu = fused, zeros  # type: ignore
        yield
    finally:
        F.scaled_dot_product_attention, torch.Tensor.cpu = attention, to_cpu  # type: ignore


@dataclass(frozen=True)
class PlayerCost:
    """One micro-batch: FLOPs and greatest number of live elements besides weights and gradients."""

    name: str
    every: int
    flops: int
    activations: int
    trained: int  # parameters


def player_costs(
    method: Method, batch: Batch, checkpointing: bool, flops: bool = True
) -> list[PlayerCost]:
    """Of a method whose networks are on the meta device; ``batch`` is one micro-batch there.

    Gradients that accumulate over micro-batches are there already and not counted. Once
    checkpointed, the networks stay so. ``flops`` False leaves them 0, for half of the time.
    """
    if checkpointing:
        for player in method.players:
            checkpoint_blocks(player.module)
    return [_player_cost(method, batch, i, flops) for i in range(len(method.players))]


def _player_cost(method: Method, batch: Batch, number: int, flops: bool) -> PlayerCost:
    player = method.players[number]
    for other in method.players:
        other.module.requires_grad_(other is player)
    parameters = list(player.module.parameters())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    known = [*_tensors(method), *gradients, *(v for v in vars(batch).values() if v is not None)]
    method.before_step(0, torch.Generator())

    def run() -> None:
        noise = ClipNoise(0, range(len(batch)), number, "meta")
        method.loss(player.name, batch, noise).total.backward()

    counted = 0
    # One after the other: the FLOP counter's hooks keep tensors alive.
    with _on_meta():
        with PeakElements(known) as memory:
            run()
        if flops:
            with FlopCounterMode(display=False) as counter:
                run()
            counted = counter.get_total_flops()
    for parameter in parameters:
        parameter.grad = None
    trained = sum(p.numel() for p in parameters)
    return PlayerCost(player.name, player.every, counted, memory.peak, trained)


def _tensors(method: Method) -> list[torch.Tensor]:
    return [t for n in networks_of(method) for t in (*n.parameters(), *n.buffers())]


def meta_batch(preset: Preset, clips: int, pixels: bool) -> Batch:
    """A micro-batch as the loop hands it over: pixels, or latents that were cached."""
    frames, (height, width) = preset.unet.num_frames, preset.size
    empty: Callable[..., torch.Tensor] = lambda *shape: torch.empty(shape, device="meta")  # noqa: E731
    shape = (clips, frames, preset.unet.out_channels, *preset.latent_size)
    return Batch(
        first=empty(clips, 3, height, width),
        fps=empty(clips),
        motion_bucket=empty(clips),
        clips=empty(clips, frames, 3, height, width) if pixels else None,
        latents=None if pixels else empty(*shape),
    )
