"""GELU as Vulkan computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class TanhGelu(TorchFunctionMode):
    """``with TanhGelu(): network(...)`` runs every GELU in its tanh form, eagerly.

    ExecuTorch's Vulkan runtime has no other: what a program gives is to be held against the
    network in this form, and what the form itself costs against the exact one.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is F.gelu:
            return func(*args, **{**(kwargs or {}), "approximate": "tanh"})
        return func(*args, **(kwargs or {}))
