"""Python threads that share a pipeline, or the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from mobilevd.runtime import Pipeline, UsageError

SEEDS = range(12)


def on_two_threads(pipelines: list[Pipeline], photo) -> list[np.ndarray]:
    """Clips of SEEDS from two threads at a time, with a callback that takes the GIL."""
    together = threading.Barrier(2)
    calls = []

    def clip(seed: int) -> np.ndarray:
        together.wait(60)
        pipeline = pipelines[seed % len(pipelines)]
        return pipeline.generate(photo, seed, steps=20, progress=lambda *s: calls.append(s)).frames

    with ThreadPoolExecutor(2) as pool:
        clips = list(pool.map(clip, SEEDS))
    # 3 runs beside the UNet's 40, 2 chunks; one more report before the first run.
    assert len(calls) == len(SEEDS) * 45
    return clips


@pytest.mark.timeout(120)
@pytest.mark.parametrize("keep_loaded", [True, False])
@pytest.mark.parametrize("count", [1, 2], ids=["one pipeline", "two pipelines"])
def test_two_threads_make_the_same_bits_as_one(bundle, photo, keep_loaded, count):
    pipelines = [Pipeline(bundle, threads=2, keep_loaded=keep_loaded) for _ in range(count)]
    serial = [pipelines[0].generate(photo, seed, steps=20).frames for seed in SEEDS]
    assert any((serial[0] != other).any() for other in serial[1:])
    for ours, theirs in zip(on_two_threads(pipelines, photo), serial, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.timeout(120)
def test_a_callback_cannot_start_a_clip_of_its_own_pipeline(bundle, photo):
    pipeline, other = Pipeline(bundle), Pipeline(bundle)
    clip = pipeline.generate(photo)

    def again(stage: str, done: int, total: int) -> None:
        pipeline.generate(photo)

    with pytest.raises(UsageError, match="a progress callback cannot start a clip"):
        pipeline.generate(photo, progress=again)
    np.testing.assert_array_equal(pipeline.generate(photo).frames, clip.frames)

    inner = []

    def another(stage: str, done: int, total: int) -> None:
        if done == 4:
            inner.append(other.generate(photo).frames)

    np.testing.assert_array_equal(pipeline.generate(photo, progress=another).frames, clip.frames)
    np.testing.assert_array_equal(inner[0], clip.frames)


def test_ctrl_c_ends_the_wait_for_another_threads_clip(bundle, photo, tmp_path):
    script = """
import sys, threading
from mobilevd.runtime import Pipeline
pipeline = Pipeline(sys.argv[1])
started, over = threading.Event(), threading.Event()
def hold(stage, done, total):
    started.set()
    over.wait(60)
other = threading.Thread(target=pipeline.generate, args=(sys.argv[2],), kwargs={"progress": hold})
other.start()
started.wait(60)
try:
    print("ready", flush=True)
    pipeline.generate(sys.argv[2])
except KeyboardInterrupt:
    print("interrupted", over.is_set())
finally:
    over.set()
other.join()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(bundle), str(photo)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # on a busy machine, into generate()
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "interrupted False\n"
    assert process.wait(60) == 0
