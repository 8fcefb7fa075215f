"""Which sample of which shard a clip's number stands for: shuffled, and kept apart by process."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np

LANES = 8


@dataclass(frozen=True)
class ShardOrder:
    """Number i belongs to lane i mod 8; each lane goes through its own shards, again and again.

    Shards and the samples of each are shuffled by (seed, lane, epoch) and (seed, epoch, shard), so
    the order is a function of the number alone: a run resumes anywhere. The loop gives a process
    the numbers of one remainder modulo the processes, so 2, 4 or 8 of them read different shards,
    and all of them together what one process would. ``counts``: samples by shard. With fewer shards
    than 8 there are as many lanes.
    """

    counts: tuple[int, ...]
    seed: int = 0

    def locate(self, index: int) -> tuple[int, int]:
        """(shard, sample in it) of clip ``index``."""
        lanes = min(LANES, len(self.counts))
        lane, turn = index % lanes, index // lanes
        own = range(lane, len(self.counts), lanes)
        epoch, place = divmod(turn, sum(self.counts[s] for s in own))
        order = [own[k] for k in _shuffled(len(own), self.seed, epoch, lane, 0)]
        ends = list(accumulate(self.counts[s] for s in order))
        which = bisect_right(ends, place)
        shard = order[which]
        before = ends[which] - self.counts[shard]
        return shard, _shuffled(self.counts[shard], self.seed, epoch, shard, 1)[place - before]


@lru_cache(maxsize=32)
def _shuffled(count: int, *key: int) -> Sequence[int]:
    return tuple(int(i) for i in np.random.default_rng(key).permutation(count))
