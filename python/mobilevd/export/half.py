"""A stage in float16 for XNNPACK: weights, features, our kernels; float32 goes in and comes out.

Where the CPU has fp16 arithmetic (ARMv8.2, AVX512-FP16) XNNPACK computes in it; elsewhere on x86 it
converts to float32 in registers, so that only memory is saved. A CPU without either refuses the
program at load. Only the weights in fp16 would leave a cast of every weight to each run.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..models.store import half_of


class _InHalves(TorchFunctionMode):
    """SiLU and GELU of halves by sigmoids of halves, GELU in its tanh form; LayerNorm by our
    ``group_norm_silu``, a group per token.

    XNNPACK has no GELU of fp16 and no cast, which is what export writes around SiLU: on the CPU,
    each would cut the delegate in two. Where GELU's square overflows it is the limit, x or 0.
    ExecuTorch's LayerNorm adds up in halves, and is off by more than a half at 1280 features; our
    sums are in float32.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in (F.silu, F.gelu) and args[0].dtype == torch.float16:
            x, a = args[0], 2 * math.sqrt(2 / math.pi)
            gate = x if func is F.silu else x * (a + 0.044715 * a * (x * x))
            return x * torch.sigmoid(gate)
        if func is F.layer_norm and args[0].dtype == torch.float16:
            return _layer_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _layer_norm(
    x: torch.Tensor,
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    """``F.layer_norm``'s arguments, over the last dimension alone."""
    if len(normalized_shape) != 1:
        raise ValueError(f"no LayerNorm of ours over dimensions {tuple(normalized_shape)}")
    from ..kernels import torch_ops  # noqa: F401  (registers the op)

    tokens = x.reshape(-1, x.shape[-1])
    norm = torch.ops.mobilevd.group_norm_silu(tokens, weight, bias, 1, eps, False, True)
    return norm.view(x.shape)


class HalfStage(nn.Module):
    """``module``, whose weights stay as they are, with halves of them; what a module names in
    ``stays_float32`` is shared."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        shared = {
            id(getattr(child, name, None))
            for child in module.modules()
            for name in getattr(child, "stays_float32", ())
        }
        named = [*module.named_parameters(), *module.named_buffers()]
        made = {id(v): v if id(v) in shared else _half(key, v) for key, v in named}
        self.module = copy.deepcopy(module, made)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        with _InHalves():
            return self.module(*(x.half() for x in inputs)).float()


@contextmanager
def stored_in_half() -> Iterator[None]:
    """ExecuTorch writes weights of convolutions in float32 always; XNNPACK takes halves, too.

    What is no half is stored as ever.
    """
    from executorch.backends.xnnpack.operators.node_visitor import NodeVisitor

    define = NodeVisitor.define_tensor

    def define_as_it_is(visitor: Any, tensor: Any, *arguments: Any, **options: Any) -> None:
        if tensor.meta["val"].dtype == torch.float16:
            options["force_fp32"] = False
        define(visitor, tensor, *arguments, **options)

    with mock.patch.object(NodeVisitor, "define_tensor", define_as_it_is):
        yield


@torch.no_grad()
def _half(name: str, value: torch.Tensor) -> torch.Tensor:
    """Of parameters and buffers; what is no floating point stays. ``half_of``'s error."""
    if not value.is_floating_point():
        return value
    half = half_of(name, value)
    is_parameter = isinstance(value, nn.Parameter)
    return nn.Parameter(half, requires_grad=False) if is_parameter else half
