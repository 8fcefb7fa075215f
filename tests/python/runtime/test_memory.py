"""What a bundle takes: memory against the estimate, starts against packed weights, whole clips.

On mini in `make test`, at full size in `make full-size`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from full_size_bundle import FULL, HOUR, full_size_bundle
from mobilevd.runtime import runner_path


@pytest.fixture(
    scope="module",
    params=["mini", pytest.param(FULL, marks=[pytest.mark.full_size, pytest.mark.timeout(HOUR)])],
)
def bundle(request: pytest.FixtureRequest) -> Path:
    if request.param == "mini":
        return request.getfixturevalue("mini_bundle")
    return full_size_bundle()


@pytest.fixture(scope="module")
def stages(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "bundle.json").read_text())["stages"]


@pytest.fixture(scope="module")
def packed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the packed weights; on the disk of the bundle."""
    if bundle.name != FULL:
        return tmp_path_factory.mktemp("packed")
    folder = bundle.parent / "packed"
    for file in folder.glob("*.packed"):
        file.unlink()
    return folder


@pytest.fixture(scope="module")
def run(bundle: Path, packed: Path) -> Callable[..., dict[str, Any]]:
    """mobilevd_runner with packed weights kept: its result."""

    def run(*flags: Any) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            command = [runner_path(), "--bundle", bundle, "--json", result]
            command += ["--packed-weights", packed, *map(str, flags)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            assert done.stderr == ""  # no stage that could not keep what it packed
            return json.loads(result.read_text())

    return run


@pytest.fixture(scope="module")
def clips(run, photo, tmp_path_factory) -> list[tuple[dict[str, Any], bytes]]:
    """Two runs of one clip: the first packs, the second maps."""
    made = []
    for _ in range(2):
        path = tmp_path_factory.mktemp("clip") / "clip.y4m"
        made.append((run("--image", photo, "--output", path, "--steps", 1), path.read_bytes()))
    return made


def test_every_weight_is_outside_and_stored_once(bundle, stages):
    for name, stage in stages.items():
        assert stage["weights"] == [f"{name}.ptd"]
        size = (bundle / f"{name}.ptd").stat().st_size
        # Each begins at a multiple of 16 bytes; equal ones are one.
        assert size <= stage["weight_bytes"] * 1.02 + (64 << 10)
        assert (bundle / f"{name}.pte").stat().st_size < 8 << 20


def test_a_clip_loads_stage_after_stage_and_releases_each(clips, stages):
    for (result, _), state in zip(clips, ("written", "read"), strict=True):
        peaks = {name: stage["peak_rss_mb"] for name, stage in result["stages"].items()}
        packed = {name: stage["packed_weights"] for name, stage in result["stages"].items()}
        assert packed["image_encoder"] == packed["unet"] == state
        assert packed["vae_decoder"] == "off"  # convolutions of ours read the .ptd as it lies
        assert result["peak_rss_mb"] == pytest.approx(max(peaks.values()), abs=1)
        # Of the UNet nothing is left when the decoder comes.
        weights = {name: stage["weight_bytes"] / 2**20 for name, stage in stages.items()}
        without = {name: peaks[name] - weights[name] for name in peaks}
        assert without["vae_decoder"] < without["unet"] + 0.2 * weights["unet"]


def test_the_second_clip_is_the_first(clips):
    (_, first), (_, second) = clips
    assert first == second


@pytest.mark.parametrize("which", [0, 1], ids=["packing", "mapping"])
def test_the_estimate_is_within_15_percent(clips, which):
    result, _ = clips[which]
    # mini is so small that a program's own few MB show; they are 0.2 % at full size.
    near = pytest.approx(result["peak_rss_mb"], rel=0.15, abs=10)
    assert result["estimated_rss_mb"] == near


def test_a_stage_by_itself_is_estimated_by_itself(clips, run, stages):
    result = run("--stage", "unet", "--repeat", "2")  # which keeps loaded what there is
    assert result["estimated_rss_mb"] == pytest.approx(result["peak_rss_mb"], rel=0.15, abs=10)
    unet = sum(stages["unet"][f"{of}_bytes"] for of in ("weight", "arena", "workspace"))
    assert result["estimated_rss_mb"] == pytest.approx(24 + unet / 2**20, abs=0.1)


def test_a_warm_unet_starts_at_once_in_bounded_memory(clips, run, stages):
    result = run("--stage", "unet")
    assert result["stages"]["unet"]["packed_weights"] == "read"
    assert result["load_ms"] < 1000
    unet = stages["unet"]
    needed = unet["weight_bytes"] + unet["arena_bytes"] + unet["workspace_bytes"]
    assert result["peak_rss_mb"] < needed / 2**20 + 300


def test_too_little_memory_is_refused_before_loading(clips, bundle, packed):
    result, _ = clips[1]
    limit = int(result["estimated_rss_mb"]) - 1
    refused = subprocess.run(
        [runner_path(), "--bundle", bundle, "--stage", "unet", "--packed-weights", packed,
         "--max-memory-mb", str(limit)],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert refused.returncode == 1
    assert f"needs about {limit + 2} MB, more than the allowed {limit} MB" in refused.stderr


@pytest.mark.full_size  # next to mini's weights Python is large
@pytest.mark.timeout(HOUR)
@pytest.mark.parametrize("bundle", [FULL], indirect=True)
def test_the_export_held_one_stage_at_a_time(bundle, stages):
    peak = json.loads((bundle.parent / "export.json").read_text())["peak_rss_mb"]
    assert peak < 3.5 * max(stage["weight_bytes"] for stage in stages.values()) / 2**20
