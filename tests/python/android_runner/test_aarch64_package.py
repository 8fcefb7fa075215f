"""The package for 64-bit ARM Linux that `make aarch64-bundle` packed, under emulated processors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elf_file import ElfFile, read_elf
from mobilevd.runtime import runner_path
from PIL import Image
from toy_bundle import write_toy_bundle

pytestmark = pytest.mark.aarch64


@pytest.fixture(scope="module")
def package() -> Path:
    given = os.environ.get("MOBILEVD_AARCH64_PACKAGE")
    assert given, "MOBILEVD_AARCH64_PACKAGE is not set: run `make test-aarch64-runner`"
    return Path(given)


@pytest.fixture(scope="module")
def elfs(package: Path) -> dict[str, ElfFile]:
    files = json.loads((package / "package.json").read_text())["files"]
    names = [name for name in files if name.startswith(("bin/", "lib/"))]
    return {name: read_elf(package / name) for name in names}


def run(
    package: Path, *arguments: Any, cpu: str = "cortex-a76", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MOBILEVD_EMULATOR": "qemu-aarch64-static", "QEMU_CPU": cpu}
    return subprocess.run(
        [package / "mobilevd_runner", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=300,
    )


def test_every_file_runs_on_pages_of_16_kb(package, elfs):
    assert min(elf.alignment for elf in elfs.values()) >= 16384
    ours = [n for n in elfs if "mobilevd" in n]
    assert len(ours) == 4
    assert {elfs[name].alignment for name in ours} == {16384}
    assert json.loads((package / "package.json").read_text())["page_size"] == 16384


def test_what_is_needed_is_there_and_no_path_is_of_this_machine(elfs):
    for name, elf in elfs.items():
        assert elf.machine == "EM_AARCH64", name
        assert elf.absolute_run_paths == (), name
        assert {f"lib/{needed}" for needed in elf.needed} <= set(elfs), name
    assert "lib/libmobilevd_ops.so" in elfs


def test_it_is_all_that_there_is_to_it(package):
    manifest = json.loads((package / "package.json").read_text())
    assert manifest["abi"] == "arm64-v8a"
    assert manifest["os"] == "linux-gnu"
    assert manifest["bundle"] == "bundle"
    assert {"bundle/bundle.json", "lib/ld-linux-aarch64.so.1"} < set(manifest["files"])


@pytest.mark.parametrize(
    ("cpu", "isa"), [("cortex-a53", "neon"), ("cortex-a76", "neon_dotprod"), ("max", "neon_i8mm")]
)
def test_a_moved_copy_starts_on_processors_old_and_new(package, tmp_path, cpu, isa):
    moved = tmp_path / "a 'moved' package"
    shutil.copytree(package, moved)
    (tmp_path / "elsewhere").mkdir()
    result = run(
        moved,
        *("--bundle", moved / "bundle", "--stage", "vae_decoder", "--threads", 2),
        *("--json", "result.json"),
        cpu=cpu,
        cwd=tmp_path / "elsewhere",
    )
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "elsewhere" / "result.json").read_text())
    assert written["host"]["arch"] == "aarch64"
    assert written["isa"] == isa


def test_a_clip_is_the_hosts_and_names_our_ops(package, tmp_path):
    """Of toy networks: one of mini takes qemu a minute, and tests/device runs it."""
    bundle = write_toy_bundle(tmp_path / "toy")
    rows, columns = np.mgrid[0:48, 0:64]
    picture = np.stack([4 * columns, 5 * rows, 2 * (rows + columns)], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    flags = ["--bundle", bundle, "--image", tmp_path / "picture.png", "--seed", 7, "--threads", 2]

    def outputs(name: str) -> list[Any]:
        return [
            *("--output", tmp_path / f"{name}.y4m", "--json", tmp_path / f"{name}.json"),
            *("--float-frames", tmp_path / f"{name}.npy"),
        ]

    emulated = run(package, *flags, *outputs("arm"))
    assert emulated.returncode == 0, emulated.stderr
    line = [runner_path(), *flags, *outputs("host")]
    subprocess.run([str(part) for part in line], check=True, timeout=120)

    frames = {name: np.load(tmp_path / f"{name}.npy") for name in ("arm", "host")}
    assert frames["arm"].dtype == np.float32
    assert frames["arm"].shape == frames["host"].shape
    assert frames["host"].std() > 0.05
    assert np.abs(frames["arm"] - frames["host"]).max() <= 1e-4

    result = json.loads((tmp_path / "arm.json").read_text())
    ops = {op["name"]: op for op in result["stages"]["unet"]["ops"]}
    fused = ops["mobilevd::temporal_attention"]
    assert fused["isa"] == "neon"
    assert fused["calls"] > 0
    assert 0 < fused["total_ms"] <= result["stages"]["unet"]["total_ms"]
