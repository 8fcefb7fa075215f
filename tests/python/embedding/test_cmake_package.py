"""What `cmake --install --component embedding` gives an app: the example is built against it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mobilevd.runtime import Pipeline
from PIL import Image

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "cpp" / "examples" / "clip"
STRICT = "-Wall -Wextra -Werror -pedantic"


def cmake(*arguments: str | Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["cmake", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installed from the build of `make`, then moved."""
    build = Path(os.environ.get("MOBILEVD_BUILD", ROOT / "build" / "make"))
    assert (build / "CMakeCache.txt").is_file(), f"no build in {build}: run `make install`"
    folder = tmp_path_factory.mktemp("embedding")
    cmake("--install", build, "--component", "embedding", "--prefix", folder / "first")
    return (folder / "first").rename(folder / "an app's libraries")


@pytest.fixture(scope="module")
def clip(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built against it as strict C99."""
    build = tmp_path_factory.mktemp("example")
    cmake(
        *("-S", EXAMPLE, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}"),
        f"-DCMAKE_C_FLAGS={STRICT}",
        "-DCMAKE_C_EXTENSIONS=OFF",
    )
    cmake("--build", build)
    return build / "clip"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, columns = np.mgrid[0:48, 0:64]
    pixels = np.stack([4 * columns, 5 * rows, 2 * (rows + columns)], axis=-1).astype(np.uint8)
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)


def test_the_example_makes_the_runners_frames(clip, mini_bundle, picture, tmp_path):
    done = run(clip, mini_bundle, picture, tmp_path / "clip.rgb")
    assert done.returncode == 0, done.stderr
    expected = Pipeline(mini_bundle).generate(picture, seed=7).frames
    frames, height, width, _ = expected.shape
    assert done.stdout.startswith(f"{frames} frames of {width}x{height}, MobileVD ")
    assert (tmp_path / "clip.rgb").read_bytes() == expected.tobytes()
    steps = done.stderr.splitlines()
    assert steps[0].endswith("image_encoder")
    assert steps[-1].endswith("done")


def test_its_errors_are_one_line_and_a_code(clip, mini_bundle, picture, tmp_path):
    done = run(clip, tmp_path, picture, tmp_path / "clip.rgb")
    assert done.returncode == 1
    assert done.stderr.startswith("clip: ")
    assert "bundle.json" in done.stderr
    done = run(clip, mini_bundle, tmp_path / "none.jpg", tmp_path / "clip.rgb")
    assert done.returncode == 1
    assert "none.jpg" in done.stderr
    assert not (tmp_path / "clip.rgb").exists()


def test_the_prefix_holds_all_that_it_needs_once(prefix):
    names = sorted(path.name for path in (prefix / "lib").glob("*.so"))
    assert {"libmobilevd.so", "libmobilevd_ops.so", "libexecutorch.so"} <= set(names)
    assert not list(prefix.rglob("_build_info.py")), "nothing of Python's"
    listed = run("readelf", "-d", prefix / "lib" / "libmobilevd.so").stdout
    assert "[$ORIGIN]" in listed
    assert "/" not in listed.split("runpath:")[1].splitlines()[0]


def test_only_the_c_api_is_exported(prefix):
    listed = run("nm", "-D", "--defined-only", prefix / "lib" / "libmobilevd.so").stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    header = (prefix / "include" / "mobilevd" / "mobilevd.h").read_text()
    declared = {name for name in names if f" {name}(" in header or f"* {name}(" in header}
    assert names == declared
    assert len(names) == 11


@pytest.mark.aarch64
def test_an_app_for_arm_links_and_loads(tmp_path):
    prefix, build = tmp_path / "prefix", tmp_path / "build"
    built = ROOT / "build" / "aarch64-linux"
    cmake("--install", built, "--component", "embedding", "--prefix", prefix)
    cmake(
        *("-S", EXAMPLE, "-B", build, "-G", "Ninja"),
        f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cmake' / 'aarch64-linux-gnu.cmake'}",
        f"-Dmobilevd_DIR={prefix / 'lib' / 'cmake' / 'mobilevd'}",
    )
    cmake("--build", build)
    done = run("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", build / "clip")
    assert done.returncode == 2, done.stderr
    assert done.stderr == "usage: clip BUNDLE PHOTO CLIP.rgb\n"
