"""The runner and Python give the same bits, whatever the threads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mobilevd.runtime import Pipeline, video


def runner_frames(runner: Any, output: Path, *arguments: Any) -> np.ndarray:
    result = runner(*arguments, "--output", output)
    assert result.returncode == 0, result.stderr
    return video.read_frames(output)


def test_runner_and_python_are_bit_identical(runner, bundle, photo, tmp_path):
    arguments = ("--bundle", bundle, "--image", photo, "--seed", 7)
    frames = [
        runner_frames(runner, tmp_path / "one", *arguments, "--threads", 1),
        runner_frames(runner, tmp_path / "two", *arguments, "--threads", 2),
        runner_frames(runner, tmp_path / "kept", *arguments, "--warmup", 1, "--repeat", 2),
        Pipeline(bundle, threads=1).generate(photo, seed=7).frames,
        Pipeline(bundle, threads=2).generate(photo.read_bytes(), seed=7).frames,
        Pipeline(bundle, keep_loaded=True).generate(photo, seed=7).frames,
    ]
    assert frames[0].shape == (4, 16, 24, 3)
    assert frames[0].std() > 5, "a flat clip would hide differences"
    for other in frames[1:]:
        np.testing.assert_array_equal(frames[0], other)


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        (["--seed", 8], {"seed": 8}),
        (["--steps", 5], {"steps": 5}),
        (["--fps", 12], {"fps": 12}),
        (["--motion-bucket", 20], {"motion_bucket": 20}),
        (["--noise-aug", 0.5], {"noise_aug": 0.5}),
    ],
)
def test_every_setting_matters_and_agrees(runner, bundle, photo, tmp_path, flags, arguments):
    clip = Pipeline(bundle).generate(photo, **arguments)
    base = Pipeline(bundle).generate(photo)
    assert (clip.frames != base.frames).any()
    same = runner_frames(runner, tmp_path / "clip", "--bundle", bundle, "--image", photo, *flags)
    np.testing.assert_array_equal(clip.frames, same)


def test_consistency_bundle_runs_without_guidance(runner, edited_bundle, photo, tmp_path):
    def consistency(bundle: dict[str, Any]) -> None:
        bundle["sampling"]["sampler"] = "consistency"
        bundle["sampling"]["guidance"] = {"min": 1.0, "max": 1.0}

    folder = edited_bundle(consistency)
    clip = Pipeline(folder).generate(photo, seed=3, steps=4)
    assert clip.stats["nfe"] == 4
    same = runner_frames(
        runner, tmp_path / "clip", "--bundle", folder, "--image", photo, "--seed", 3, "--steps", 4
    )
    np.testing.assert_array_equal(clip.frames, same)


def test_y4m_holds_the_same_clip(runner, bundle, photo, tmp_path):
    output = tmp_path / "clip.y4m"
    png = runner_frames(runner, tmp_path / "clip", "--bundle", bundle, "--image", photo)
    y4m = runner_frames(runner, output, "--bundle", bundle, "--image", photo)
    assert y4m.shape == png.shape
    # 8-bit YCbCr cannot hold every RGB value; full range keeps it within rounding.
    assert np.abs(y4m.astype(int) - png).max() <= 3


def test_stats_of_python_and_runner_have_one_schema(runner, bundle, photo, tmp_path):
    stats = Pipeline(bundle, threads=1).generate(photo, seed=5).stats
    result = runner(
        *("--bundle", bundle, "--image", photo, "--output", tmp_path / "clip"),
        *("--seed", 5, "--threads", 1, "--repeat", 3, "--json", tmp_path / "result.json"),
    )
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "result.json").read_text())
    assert stats.keys() == written.keys()
    assert written["stages"].keys() == stats["stages"].keys()
    assert written["tool"] == "mobilevd_runner"
    assert written["seed"] == 5
    assert written["threads"] == 1
    assert written["steps"] == 3
    for name, value in {"fps": 7, "motion_bucket": 127, "noise_aug": 0.02}.items():
        assert stats[name] == written[name] == value
    assert written["nfe"] == 6
    assert written["bundle"]["preset"] == "toy"
    assert written["stages"]["unet"]["calls"] == 18
    assert stats["stages"]["unet"]["calls"] == 6
    assert written["stages"]["unet"]["delegated_share_ops"] == 0.5
    assert written["peak_rss_mb"] > 1
    for stage in written["stages"].values():
        assert 0 < stage["min_ms"] <= stage["median_ms"] <= stage["p90_ms"] <= stage["total_ms"]
        assert stage["load_ms"] > 0
        assert len(stage["runs_ms"]) == stage["calls"]
        assert sum(stage["runs_ms"]) == pytest.approx(stage["total_ms"], abs=1e-3 * stage["calls"])
