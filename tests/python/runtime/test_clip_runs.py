"""Bundles side by side: sizes, times, memory, and how near the clips are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mobilevd.evaluate.clip_runs import compare_clips, ssim
from mobilevd.psnr import EXACT_DB
from PIL import Image


def test_ssim_by_hand():
    rng = np.random.default_rng(0)
    a = rng.random((2, 16, 16, 3), dtype=np.float32) * 0.5
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a[::-1].copy(), a) < 0.3


@pytest.fixture
def another(bundle: Path, tmp_path: Path) -> Path:
    """The toy bundle with another sampler: other frames."""
    copy = tmp_path / "another"
    shutil.copytree(bundle, copy)
    description = json.loads((copy / "bundle.json").read_text())
    description["sampling"]["steps"] = 1
    (copy / "bundle.json").write_text(json.dumps(description))
    return copy


def test_rows(bundle, another, picture):
    seen = []
    rows = compare_clips(
        {"a": bundle, "same": bundle, "other": another},
        [Image.fromarray(picture), Image.fromarray(picture[::-1].copy())],
        threads=1,
        progress=lambda done, total, what: seen.append((done, total, what)),
    )
    # In turns, and not always the same one first.
    assert [what for _, _, what in seen] == [
        "a: clip 1", "same: clip 1", "other: clip 1", "same: clip 2", "other: clip 2", "a: clip 2",
    ]  # fmt: skip
    assert seen[-1][:2] == (5, 6)
    first, same, other = rows
    assert (first["clips"], first["threads"]) == (2, 1)
    assert (same["psnr_db"], same["ssim"]) == (EXACT_DB, pytest.approx(1))
    assert other["psnr_db_worst"] <= other["psnr_db"] < 60
    assert other["ssim"] < 1
    size = {f.name: f.stat().st_size / 1e6 for f in bundle.iterdir()}
    assert first["file_mb"] == pytest.approx(sum(size.values()))
    assert sum(first["stage_file_mb"].values()) + size["bundle.json"] == pytest.approx(
        first["file_mb"]
    )
    assert (first["file_share"], first["time_share"], first["cpu_share"]) == (1, 1, 1)
    assert 0 < first["unet_ms"] < first["clip_ms"]
    assert other["stage_ms"].keys() == first["stage_ms"].keys()
    assert first["cpu_ms"] > 0
    assert first["peak_rss_mb"] > 1


def test_a_run_that_fails_says_why(nan_bundle, picture):
    with pytest.raises(RuntimeError, match="stage 'unet' gave NaN or Inf"):
        compare_clips({"nan": nan_bundle}, [Image.fromarray(picture)])
