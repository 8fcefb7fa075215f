"""The operator library all kernels register in, and the way from tensors to the kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

library = torch.library.Library("mobilevd", "FRAGMENT")


def to_arrays(**tensors: Tensor | None) -> dict[str, Any]:
    """The CPU tensors' memory as numpy arrays, None for None; TypeError, naming the tensor, for
    another kind."""
    arrays: dict[str, Any] = {}
    for name, x in tensors.items():
        if x is None:
            arrays[name] = None
            continue
        if x.dtype == torch.bfloat16:  # numpy has no such dtype
            raise TypeError(f"{name}: expected float32 or float16, got {x.dtype}")
        if x.device.type != "cpu":
            raise TypeError(f"{name}: expected a CPU tensor, got one on {x.device}")
        arrays[name] = x.detach().numpy()
    return arrays


def check_out(out: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """`out`; ValueError unless it has this shape and dtype."""
    if tuple(out.shape) != shape or out.dtype != dtype:
        raise ValueError(f"out: expected {shape} {dtype}, got {tuple(out.shape)} {out.dtype}")
    return out


def check_vector(
    name: str, vector: Tensor | None, size: int, dtype: torch.dtype | None = torch.float32
) -> None:
    """ValueError unless it is [size], TypeError unless of ``dtype`` (None: any), or it is None."""
    if vector is not None and dtype is not None and vector.dtype != dtype:
        raise TypeError(f"{name}: expected {str(dtype).removeprefix('torch.')}, got {vector.dtype}")
    if vector is not None and tuple(vector.shape) != (size,):
        raise ValueError(f"{name}: expected [{size}], got {tuple(vector.shape)}")


def check_packed(weight: Tensor, packed: tuple[int, ...]) -> None:
    """ValueError unless ``weight`` has the shape ``packed``."""
    if tuple(weight.shape) != packed:
        raise ValueError(f"weight: expected the packed shape {packed}, got {tuple(weight.shape)}")


def check_int8(weight: Tensor, packed: tuple[int, ...], scales: Tensor) -> None:
    """TypeError or ValueError unless ``weight`` is int8 of the shape ``packed``, [panels, ..., 16,
    8], and ``scales`` are those of its panels."""
    if weight.dtype != torch.int8:
        raise TypeError(f"weight: expected int8, got {weight.dtype}")
    check_packed(weight, packed)
    check_vector("scales", scales, 16 * packed[0])


def recomputed_gradients(
    ctx: Any, function: Callable[..., Tensor], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of `function(*ctx.saved_tensors)`, in float32, for the operator's inputs that need
    one. The saved tensors are its first inputs; `function` is written in differentiable torch."""
    needed = [i for i, _ in enumerate(ctx.saved_tensors) if ctx.needs_input_grad[i]]
    with torch.enable_grad():
        given = [
            None if t is None else t.detach().requires_grad_(i in needed)
            for i, t in enumerate(ctx.saved_tensors)
        ]
        out = function(*(None if t is None else t.float() for t in given))
        inputs: Any = [given[i] for i in needed]
        grads = dict(zip(needed, torch.autograd.grad(out, inputs, grad.float()), strict=True))
    return tuple(grads.get(i) for i in range(len(ctx.needs_input_grad)))
