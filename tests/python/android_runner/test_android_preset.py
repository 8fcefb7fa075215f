"""The preset `android-arm64` with a stand-in for the NDK, and what it says without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def configure(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("ANDROID_NDK", "VIRTUAL_ENV")}
    environment.pop("EXECUTORCH_ANDROID", None)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["cmake", "-G", "Ninja", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment | variables,
    )


@pytest.fixture
def ndk(tmp_path: Path) -> Path:
    """Looks like an NDK and compiles with Debian's cross compiler."""
    folder = tmp_path / "ndk"
    (folder / "build" / "cmake").mkdir(parents=True)
    (folder / "source.properties").write_text("Pkg.Desc = Android NDK\nPkg.Revision = 28.2.1\n")
    (folder / "build" / "cmake" / "android.toolchain.cmake").write_text(
        f"include({ROOT}/cmake/aarch64-linux-gnu.cmake)\n"
        'message(STATUS "for ${ANDROID_ABI} ${ANDROID_PLATFORM} ${ANDROID_STL}")\n'
    )
    return folder


@pytest.fixture
def executorch(tmp_path: Path) -> Path:
    """An install of ExecuTorch built from source: static libraries under bare names."""
    folder = tmp_path / "install-android"
    package = folder / "lib" / "cmake" / "ExecuTorch"
    package.mkdir(parents=True)
    (package / "executorch-config.cmake").write_text(
        "set(executorch_FOUND TRUE)\nset(EXECUTORCH_INCLUDE_DIRS ${CMAKE_CURRENT_LIST_DIR})\n"
        "foreach(name executorch executorch_core xnnpack_backend etdump)\n"
        "  add_library(${name} STATIC IMPORTED)\n"
        "  set_target_properties(${name} PROPERTIES IMPORTED_LOCATION /none/lib${name}.a)\n"
        "endforeach()\n"
    )
    return folder


def refused(build: Path, **variables: str) -> str:
    done = configure("-B", build, "--preset", "android-arm64", **variables)
    assert done.returncode != 0
    return " ".join(done.stderr.split())


def test_without_an_ndk_it_says_what_is_needed(tmp_path):
    said = refused(tmp_path / "build")
    assert "ANDROID_NDK must name an Android NDK, r28 or newer" in said
    assert "android_runner/README.md" in said


def test_an_older_ndk_is_refused(tmp_path, ndk):
    (ndk / "source.properties").write_text("Pkg.Revision = 27.3.13750724\n")
    assert "NDK r27, r28 or newer is needed" in refused(tmp_path / "build", ANDROID_NDK=str(ndk))


def test_an_executorch_for_android_is_needed(tmp_path, ndk):
    said = refused(tmp_path / "build", ANDROID_NDK=str(ndk), EXECUTORCH_ANDROID=str(tmp_path))
    assert "EXECUTORCH_ANDROID must name an ExecuTorch installed for Android" in said


@pytest.mark.aarch64
def test_with_both_it_configures_for_phones(tmp_path, ndk, executorch):
    build = tmp_path / "build"
    given = {"ANDROID_NDK": str(ndk), "EXECUTORCH_ANDROID": str(executorch)}
    done = configure("-B", build, "--preset", "android-arm64", **given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "for arm64-v8a android-30 c++_shared" in done.stdout
    assert "ETDump: ON" in done.stdout
    links = (build / "build.ninja").read_text()
    assert "libmobilevd_executorch.so: CXX_SHARED_LIBRARY" in links
    flags = [line for line in links.splitlines() if line.strip().startswith("LINK_FLAGS =")]
    assert len(flags) >= 6
    assert all("-Wl,-z,max-page-size=16384" in line for line in flags)
    again = configure("-B", build, "--preset", "android-arm64")  # both are in the cache
    assert again.returncode == 0, again.stderr


def test_make_says_in_one_line_what_is_missing():
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["make", "--no-print-directory", "android-bundle"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert len(lines) == 1
    assert "needs ANDROID_NDK (r28 or newer) and EXECUTORCH_ANDROID" in lines[0]
