"""Batches made ahead by workers are those made here, in their order, and errors arrive whole."""

import itertools
import time

import pytest
import torch
from mobilevd.training.data import Batch, DrawnClips, MovingDigits
from mobilevd.training.data.prefetch import prefetched


class Slow:
    """Early batches take longest, so that workers finish out of order."""

    def batch(self, indices):
        time.sleep(0.2 if indices[0] < 4 else 0.0)
        values = torch.tensor(indices, dtype=torch.float32)
        return Batch(first=values[:, None, None, None], fps=values, motion_bucket=values)


class Fails:
    def batch(self, indices):
        if indices[0] == 4:
            raise ValueError("no video is long enough")
        return Slow().batch(indices)


def pieces(start=0):
    return ([i, i + 1] for i in itertools.count(2 * start, 2))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_is_that_of_the_batches(workers):
    batches = prefetched(Slow(), pieces(), workers)
    seen = [b.fps.tolist() for b in itertools.islice(batches, 8)]
    batches.close()
    assert seen == [[2 * i, 2 * i + 1] for i in range(8)]


def test_workers_make_the_same_clips_and_a_resumed_run_too():
    data = DrawnClips(MovingDigits("train"), 4, (16, 16), seed=9)
    here = list(prefetched(data, itertools.islice(pieces(), 6), 0))
    there = list(prefetched(data, itertools.islice(pieces(), 6), 2))
    resumed = list(prefetched(data, itertools.islice(pieces(4), 2), 2))
    assert len(here) == len(there) == 6
    for a, b in zip([*here, *here[4:]], [*there, *resumed], strict=True):
        for name in ("clips", "first", "fps", "motion_bucket"):
            assert torch.equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_own_generator_is_left_alone(workers):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    list(prefetched(Slow(), [[8, 9]], workers))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_the_data_own_one_line(workers):
    batches = prefetched(Fails(), pieces(), workers)
    assert next(batches).fps.tolist() == [0, 1]
    next(batches)
    with pytest.raises(ValueError, match=r"^no video is long enough$"):
        next(batches)


def test_workers_work_at_the_same_time_and_ahead():
    batches = prefetched(Slow(), pieces(4), 1, ahead=3)
    next(batches)
    time.sleep(0.3)
    started = time.monotonic()
    for _ in range(2):
        next(batches)
    assert time.monotonic() - started < 0.15
    batches.close()
