"""A list in pieces of limited size: command lines and transfers have their limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def batches(
    items: Sequence[Item], size: Callable[[Item], int], most_bytes: int, most: int = 64
) -> Iterator[list[Item]]:
    """Neighbours of at most ``most`` and ``most_bytes`` together, or one that is larger alone."""
    batch: list[Item] = []
    total = 0
    for item in items:
        if batch and (len(batch) == most or total + size(item) > most_bytes):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size(item)
    if batch:
        yield batch
