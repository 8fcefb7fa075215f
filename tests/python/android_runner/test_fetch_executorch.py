"""cmake/fetch_executorch.py takes the wheel it knows, whole, and no other."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import fetch_executorch
import pytest
from fetch_executorch import FetchError, fetch

CONFIG = "executorch/share/cmake/executorch-config.cmake"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "executorch-1.5.1-cp311-cp311-manylinux_2_28_aarch64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (CONFIG, "executorch/lib/libexecutorch.so", "executorch/exir/large.py"):
            archive.writestr(name, name)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_c_side_of_the_wheel_is_unpacked_once(wheel, tmp_path):
    target = tmp_path / "build" / "sdk"
    assert fetch(target, wheel, sha256(wheel))
    assert (target / CONFIG).read_text() == CONFIG
    assert not (target / "executorch" / "exir").exists()
    wheel.unlink()
    assert not fetch(target, wheel, (target / "sha256").read_text())


def test_another_version_replaces_the_first(wheel, tmp_path):
    target = tmp_path / "sdk"
    fetch(target, wheel, sha256(wheel))
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("executorch/include/new.h", "new")
    assert fetch(target, wheel, sha256(wheel))
    assert (target / "executorch" / "include" / "new.h").read_text() == "new"


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, fetch_executorch.__file__, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment or None)


def test_a_wrong_hash_is_refused_and_nothing_is_left(wheel, tmp_path):
    done = command("--wheel", wheel, tmp_path / "sdk")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"sha256 {sha256(wheel)}, expected {fetch_executorch.SHA256}" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [wheel.name]


def test_a_broken_archive_leaves_nothing(wheel, tmp_path):
    data = wheel.read_bytes()
    wheel.write_bytes(data[: len(data) // 2])
    with pytest.raises(zipfile.BadZipFile):
        fetch(tmp_path / "sdk", wheel, sha256(wheel))
    assert [p.name for p in tmp_path.iterdir()] == [wheel.name]


def test_pips_failure_is_one_line_that_says_what_to_do(tmp_path):
    # pip itself, told that there is no index.
    done = command(tmp_path / "sdk", PIP_NO_INDEX="1", PATH="/usr/bin:/bin", HOME=str(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "pip cannot download executorch==1.5.1 for aarch64" in done.stderr
    assert "--wheel FILE" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_other_things_are_left_alone(wheel, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(FetchError, match="holds something else"):
        fetch(tmp_path / "mine", wheel, sha256(wheel))
    assert (tmp_path / "mine" / "letter").read_text() == "dear"
