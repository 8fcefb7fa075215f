"""Batches made ahead by other processes, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from . import Batch, ClipData


@dataclass(frozen=True)
class _Error:
    """What a worker could not do: raised again as it is, without the worker's traceback."""

    error: Exception


class _ByIndices(Dataset[Batch | _Error]):
    def __init__(self, data: ClipData) -> None:
        self.data = data

    def __getitem__(self, indices: Sequence[int]) -> Batch | _Error:
        try:
            return self.data.batch(indices)
        except Exception as error:
            return _Error(error)


def prefetched(
    data: ClipData, batches: Iterable[Sequence[int]], workers: int, ahead: int = 2
) -> Iterator[Batch]:
    """``data.batch(indices)`` for each of ``batches``, made by ``workers`` processes.

    Order and content do not depend on ``workers`` (0: made here, when asked for), nor does torch's
    own generator, so that a resumed run gives the batches from its step on and sees the same ones.
    ``batches`` may be endless; each worker has ``ahead`` batches ready. Close the iterator (or let
    it go) to end the workers.
    """
    loader: DataLoader[Batch | _Error] = DataLoader(
        _ByIndices(data),
        batch_size=None,
        sampler=batches,
        num_workers=workers,
        prefetch_factor=ahead if workers else None,
        collate_fn=_as_it_is,
        generator=torch.Generator().manual_seed(0),
    )
    for batch in loader:
        if isinstance(batch, _Error):
            raise batch.error
        yield batch


def _as_it_is(batch: Any) -> Any:
    return batch
