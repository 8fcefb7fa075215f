"""Peak size of the live tensors of a run, on any device: on meta it costs no memory."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakElements(TorchDispatchMode):
    """Greatest number of elements alive at once, of the tensors made inside; views count once.

    An eager run without gradients: every result lives until its last use, as in a planned arena
    without fragmentation or in-place reuse. Give the weights as ``known`` to leave them out.
    """

    def __init__(self, known: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.known = {t.untyped_storage()._cdata for t in known}
        self.owners: Counter[int] = Counter()
        self.live = 0
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._track(tensor)
        return out

    def _track(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known:
            return
        size = storage.nbytes() // tensor.element_size()
        if not self.owners[key]:
            self.live += size
            self.peak = max(self.peak, self.live)
        self.owners[key] += 1
        weakref.finalize(tensor, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.owners[key] -= 1
        if not self.owners[key]:
            del self.owners[key]
            self.live -= size
