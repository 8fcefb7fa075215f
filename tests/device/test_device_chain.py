"""The whole chain with the real runner for 64-bit ARM: package with the exported mini -> push ->
run under qemu on an emulated device -> pull -> the host's frames -> report. A bench."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adbd_emulator import Emulator, Phone
from mobilevd.runtime import runner_path
from mobilevd.runtime.video import read_frames
from PIL import Image
from toy_bundle import write_toy_bundle

pytestmark = [pytest.mark.aarch64, pytest.mark.timeout(1200)]
# One thread: on a busy machine, emulated threads that wait for each other take minutes.
SAMPLING = ("--steps", 2, "--seed", 7, "--threads", 1)


@pytest.fixture(scope="module")
def aarch64_package() -> Path:
    given = os.environ.get("MOBILEVD_AARCH64_PACKAGE")
    assert given, "MOBILEVD_AARCH64_PACKAGE is not set: run `make test-aarch64-runner`"
    return Path(given)


@pytest.fixture(scope="module")
def the_phone(emulator: Emulator) -> Any:
    return emulator.add(Phone(cores_khz=(3_000_000, 3_000_000)), data_bytes=512 << 20)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, columns = np.mgrid[0:48, 0:64]
    pixels = np.stack([4 * columns, 5 * rows, 2 * (rows + columns)], axis=-1).astype(np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def test_from_a_package_to_a_report(mobilevd, phone, aarch64_package, photo, tmp_path):
    where = ("--serial", phone.serial, "--package", aarch64_package)
    outputs = ("-o", tmp_path / "clip", "--float-frames", tmp_path / "device.npy")
    ended = mobilevd(
        "device", "run", photo, *where, *outputs, *SAMPLING, "--json", tmp_path / "run.json"
    )
    assert ended.code == 0, ended.err

    host = [runner_path(), "--bundle", aarch64_package / "bundle", "--image", photo, *SAMPLING]
    host += ["--output", tmp_path / "host", "--float-frames", tmp_path / "host.npy"]
    host += ["--json", tmp_path / "host.json"]
    subprocess.run([str(word) for word in host], check=True, timeout=120)
    ours, theirs = np.load(tmp_path / "device.npy"), np.load(tmp_path / "host.npy")
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape == read_frames(tmp_path / "clip").shape
    assert 0 <= ours.min() < ours.max() <= 1
    assert theirs.std() > 0.05
    assert np.abs(ours - theirs).max() <= 1e-4
    pixels = read_frames(tmp_path / "clip").astype(int) - read_frames(tmp_path / "host")
    assert np.abs(pixels).max() <= 1

    result = json.loads((tmp_path / "run.json").read_text())
    assert result["host"]["arch"] == "aarch64"
    assert result["device"]["emulated"] is True
    ops = {op["name"]: op for op in result["stages"]["unet"]["ops"]}
    fused = ops["mobilevd::temporal_attention"]
    assert fused["isa"].startswith("neon")
    assert fused["calls"] > 0
    assert fused["total_ms"] > 0

    results = (tmp_path / f"{name}.json" for name in ("run", "host"))
    ended = mobilevd("device", "report", *results, "-o", tmp_path / "report")
    assert ended.code == 0, ended.err
    page = (tmp_path / "report/report.html").read_text()
    assert "mobilevd::temporal_attention" in page
    assert "no figure of a phone's speed" in page
    assert "data:image/webp" in page


def test_bench_with_a_profile(mobilevd, phone, aarch64_package, photo, tmp_path):
    """Toy networks: what is measured does not matter here, that all of it arrives does."""
    toy = write_toy_bundle(tmp_path / "toy")
    where = ("--serial", phone.serial, "--package", aarch64_package, "--bundle", toy)
    outputs = ("--etdump", tmp_path / "profiles", "--json", tmp_path / "bench.json")
    plan = ("--image", photo, "--repeats", 2, "--warmup", 1, "--threads", 1)
    ended = mobilevd("device", "bench", *where, *plan, *outputs)
    assert ended.code == 0, ended.err
    result = json.loads((tmp_path / "bench.json").read_text())
    assert len(result["repeats"]) == 2
    for stage in result["stages"].values():
        assert len(stage["runs_ms"]) == stage["calls"]
        assert 0 < stage["min_ms"] <= stage["median_ms"] <= stage["p90_ms"]
    assert result["peak_rss_mb"] > 1
    profile = result["profile"]
    assert any(row["name"].startswith("mobilevd::temporal_attention") for row in profile)
    assert {row["stage"] for row in profile} == set(result["stages"])
    for stage in result["stages"]:
        shares = sum(row["share"] for row in profile if row["stage"] == stage)
        assert shares == pytest.approx(1, abs=0.02)
