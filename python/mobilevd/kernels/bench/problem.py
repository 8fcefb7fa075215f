"""What a kernel's module tells the benchmark: its shapes, and who can compute them how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .onnx_graph import Graph

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass
class Problem:
    """A kernel at one shape. Everybody reads `inputs` where they lie and leaves the result in an
    array of `out_shape`, in the layout of ours.

    The keys of each library's dict tell its variants apart ("" for the only one).
    """

    inputs: dict[str, Tensor]
    out_shape: tuple[int, ...]
    flops: float
    moved_bytes: float  # every array once
    ours: Callable[[Array], None]  # writes its argument
    torch: dict[str, Callable[[Tensor], object]] = field(default_factory=dict)  # or return it
    onnxruntime: dict[str, Graph] = field(default_factory=dict)
    openvino: dict[str, Graph] = field(default_factory=dict)
    executorch: dict[str, nn.Module] = field(default_factory=dict)
    tolerance: float = 1e-4  # of max |ours|: equal answers, or no figures


@dataclass(frozen=True)
class Kernel:
    name: str
    sizes: tuple[str, ...]  # what the numbers of a shape are, as in kernels/shapes
    shapes: tuple[tuple[int | str, ...], ...]  # a word where a size is a choice
    problem: Callable[..., Problem]  # of the sizes, by position

    def label(self, shape: tuple[int | str, ...]) -> str:
        return "x".join(str(size) for size in shape)


@dataclass(frozen=True)
class Candidate:
    run: Callable[[], object]
    result: Callable[[], Array]  # of the last run


def normal(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    """Data for a benchmark: the same on every machine, 64-byte aligned."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * scale
