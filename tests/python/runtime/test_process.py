"""One process, one registry: our runtime beside executorch's own Python runtime."""

from __future__ import annotations

import io
import signal
import subprocess
import sys

import numpy as np
import pytest
from mobilevd.runtime import Cancelled, Pipeline

OURS = "import mobilevd.runtime"
THEIRS = "from executorch.runtime import Runtime; Runtime.get()"
LIBRARY = "import torch; torch.ops.load_library(str(mobilevd.runtime.ops_library()))"
PORTABLE = "import executorch.extension.pybindings.portable_lib"

USE_BOTH = """
import sys, numpy as np, torch
from executorch.runtime import Runtime
from mobilevd.runtime import Pipeline
folder, photo = sys.argv[1:]
method = Runtime.get().load_program(folder + "/unet.pte").load_method("forward")
shapes = [(1, 4, 8, 4, 6), (1, 32), (1, 1, 12), (1, 48)]
out, = method.execute([torch.ones(s) for s in shapes])
assert out.shape == (1, 4, 4, 4, 6) and torch.isfinite(out).all()
frames = Pipeline(folder).generate(photo, seed=1).frames
out2, = method.execute([torch.ones(s) for s in shapes])
assert torch.equal(out, out2)
np.save(sys.stdout.buffer, frames)
"""


@pytest.mark.parametrize(
    "imports",
    [
        [OURS, THEIRS],
        [THEIRS, OURS],
        [OURS, LIBRARY, THEIRS],
        [THEIRS, OURS, LIBRARY],
        [PORTABLE, OURS],
        ["import mobilevd.kernels.torch_ops", OURS, THEIRS],
    ],
    ids=lambda imports: " | ".join(i.split(";")[-1].strip() for i in imports),
)
def test_both_runtimes_in_one_process(bundle, photo, imports, tmp_path):
    script = "\n".join([*imports, USE_BOTH])
    result = subprocess.run(
        [sys.executable, "-c", script, str(bundle), str(photo)],
        capture_output=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr.decode()
    frames = np.load(io.BytesIO(result.stdout))
    np.testing.assert_array_equal(frames, Pipeline(bundle).generate(photo, seed=1).frames)


def test_another_executorch_is_refused_in_one_line(monkeypatch):
    from mobilevd.runtime import _load

    monkeypatch.setattr(_load.importlib.metadata, "version", lambda name: "1.6.0")
    with pytest.raises(ImportError, match=r"built against ExecuTorch 1\.5\.1 but 1\.6\.0"):
        _load.check_executorch()


def test_progress_counts_and_cancels(bundle, photo):
    seen: list[tuple[str, int, int]] = []
    Pipeline(bundle).generate(photo, progress=lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == list(range(11))
    assert {total for _, _, total in seen} == {10}
    assert seen[3] == ("unet", 3, 10)
    with pytest.raises(Cancelled):
        Pipeline(bundle).generate(photo, progress=lambda stage, done, total: done < 4)


def test_an_exception_of_the_callback_is_passed_on(bundle, photo):
    pipeline = Pipeline(bundle)

    def fail(stage: str, done: int, total: int) -> bool:
        raise KeyError(stage)

    with pytest.raises(KeyError, match="image_encoder"):
        pipeline.generate(photo, progress=fail)
    assert pipeline.generate(photo).frames.shape == (4, 16, 24, 3)


def test_ctrl_c_stops_a_clip(bundle, photo, tmp_path):
    script = """
import sys
from mobilevd.runtime import Pipeline
def progress(stage, done, total):
    if done == 20:
        print("ready", flush=True)
try:
    Pipeline(sys.argv[1]).generate(sys.argv[2], steps=1000, progress=progress)
    while True:
        Pipeline(sys.argv[1]).generate(sys.argv[2], steps=1000)
except KeyboardInterrupt:
    print("interrupted")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(bundle), str(photo)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "interrupted\n"
    assert process.wait(60) == 0


def test_threads_cannot_change_under_loaded_stages(bundle, photo):
    kept = Pipeline(bundle, threads=1, keep_loaded=True)
    kept.generate(photo)
    with pytest.raises(ValueError, match="release it first"):
        Pipeline(bundle, threads=2)
    del kept
    assert Pipeline(bundle, threads=2).threads == 2


def test_a_default_pipeline_takes_the_threads_there_are(bundle, photo):
    kept = Pipeline(bundle, threads=1, keep_loaded=True)
    kept.generate(photo)
    plain = Pipeline(bundle)
    assert plain.generate(photo).stats["threads"] == plain.threads == 1
    del kept
    Pipeline(bundle, threads=2)
    assert plain.generate(photo).stats["threads"] == 2
