"""Backends from elsewhere: a missing one is explained, a loaded one runs whole clips."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import executorch
import numpy as np
import pytest
from mobilevd.runtime import Error, Pipeline, ops_library
from test_bad_input import check_both_refuse, check_refused

TOY_DELEGATE = Path(__file__).with_name("toy_delegate.py")
SOURCES = Path(__file__).parents[2] / "cpp" / "backend_libraries"
README = Path(__file__).parents[3] / "android_runner" / "README.md"


@pytest.fixture(scope="module")
def delegated_bundle(bundle, tmp_path_factory):
    """Call with a backend's name: the toy bundle with a delegate of that backend as its UNet."""
    made: dict[tuple[str, bytes], Path] = {}

    def make(backend: str, processed: bytes = b"copy") -> Path:
        key = (backend, processed)
        if key not in made:
            folder = made[key] = tmp_path_factory.mktemp(backend) / "toy"
            shutil.copytree(bundle, folder)
            # In a process of its own: here the backend's real class may be loaded.
            command = [sys.executable, TOY_DELEGATE, backend, processed, folder / "unet.pte"]
            subprocess.run(command, check=True)
            program = (folder / "unet.pte").read_bytes()
            manifest = json.loads((folder / "bundle.json").read_text())
            manifest["stages"]["unet"]["required_ops"] = []
            manifest["files"]["unet.pte"] = {
                "bytes": len(program),
                "sha256": hashlib.sha256(program).hexdigest(),
            }
            (folder / "bundle.json").write_text(json.dumps(manifest))
        return made[key]

    return make


@pytest.fixture(scope="module")
def copy_library(tmp_path_factory) -> Path:
    """CopyBackend as a user would build a backend: against the package's headers and library."""
    folder = Path(next(iter(executorch.__path__)))
    target = tmp_path_factory.mktemp("library") / "libcopy_backend.so"
    includes = [folder / "include", folder / "include/executorch/runtime/core/portable_type/c10"]
    subprocess.run(
        [
            *("g++", "-std=c++17", "-shared", "-fPIC", "-DC10_USING_CUSTOM_GENERATED_MACROS"),
            *(f"-I{include}" for include in includes),
            *(SOURCES / "further_backend.cc", "-o", target),
            *(f"-L{folder}/lib", "-lexecutorch"),
        ],
        check=True,
    )
    return target


@pytest.mark.parametrize(
    ("backend", "advice"),
    [
        ("VulkanBackend", "EXECUTORCH_BUILD_VULKAN=ON"),
        ("OtherBackend", "the runtime of that backend"),
    ],
)
def test_a_missing_backend_is_explained(runner, delegated_bundle, photo, tmp_path, backend, advice):
    folder = delegated_bundle(backend)
    text = f"stage 'unet' needs the backend {backend}, which is not in this build (it has "
    check_both_refuse(runner, folder, photo, tmp_path, text)
    with pytest.raises(Error) as caught:
        Pipeline(folder).generate(photo)
    assert advice in str(caught.value)
    section = '"Vulkan and QNN" in android_runner/README.md'
    assert section in str(caught.value)
    assert "## Vulkan and QNN" in README.read_text()


def test_it_is_refused_before_any_stage_runs(delegated_bundle, photo):
    seen = []
    with pytest.raises(Error, match="needs the backend VulkanBackend"):
        Pipeline(delegated_bundle("VulkanBackend")).generate(
            photo, progress=lambda stage, done, total: seen.append(done)
        )
    assert seen == []


def test_a_stage_without_it_runs_alone(runner, delegated_bundle):
    folder = delegated_bundle("VulkanBackend")
    assert runner("--bundle", folder, "--stage", "vae_encoder").returncode == 0
    assert runner("--bundle", folder, "--stage", "unet").returncode == 1


GENERATE = """
import sys, numpy as np
from mobilevd.runtime import Pipeline
folder, photo, library, output = sys.argv[1:]
for _ in range(2):  # a process may say it again
    clip = Pipeline(folder, backend_libs=[library]).generate(photo, seed=3)
np.save(output, clip.frames)
"""


def test_a_clip_through_a_loaded_backend(runner, delegated_bundle, copy_library, photo, tmp_path):
    folder = delegated_bundle("CopyBackend")
    library = ("--backend-lib", copy_library)
    flags = ("--bundle", folder, "--image", photo, "--seed", 3)
    assert "needs the backend CopyBackend" in runner(*flags, "--output", tmp_path / "no").stderr
    made = runner(*flags, *library, *library, "--output", tmp_path / "frames")
    assert made.returncode == 0, made.stderr
    # Another process, since a backend stays in the one that loaded it.
    subprocess.run(
        [sys.executable, "-c", GENERATE, folder, photo, copy_library, tmp_path / "frames.npy"],
        check=True,
    )
    from mobilevd.runtime.video import read_frames

    frames = read_frames(tmp_path / "frames")
    np.testing.assert_array_equal(frames, np.load(tmp_path / "frames.npy"))
    assert frames.std() > 0
    clip = tmp_path / "clip.gif"
    command = [sys.executable, "-m", "mobilevd", "generate", photo, "--bundle", folder]
    subprocess.run([*command, *library, "-o", clip], check=True)
    assert clip.exists()


def test_a_backend_that_throws_is_one_line(runner, delegated_bundle, copy_library, photo, tmp_path):
    flags = ("--bundle", delegated_bundle("CopyBackend", b"throw"), "--backend-lib", copy_library)
    result = runner(*flags, "--image", photo, "--output", tmp_path / "frames")
    text = "stage 'unet': a backend gave up while running: the device is lost"
    check_refused(result, 1, text)
    assert list(tmp_path.iterdir()) == []


def test_a_backend_without_its_device_is_named(
    runner, delegated_bundle, copy_library, photo, tmp_path
):
    flags = ("--bundle", delegated_bundle("CopyBackend"), "--backend-lib", copy_library)
    output = ("--image", photo, "--output", tmp_path / "frames")
    result = runner(*flags, *output, env={**os.environ, "NO_COPY_DEVICE": "1"})
    text = "stage 'unet' needs the backend CopyBackend, which cannot run on this machine"
    check_refused(result, 1, text)
    assert list(tmp_path.iterdir()) == []


def test_list_ops_names_the_loaded_backend(runner, copy_library):
    assert "backend:CopyBackend" not in runner("--list-ops").stdout
    listed = runner("--backend-lib", copy_library, "--list-ops").stdout.splitlines()
    assert {"backend:CopyBackend", "backend:XnnpackBackend"} <= set(listed)


def test_a_library_that_is_none(runner):
    missing = runner("--backend-lib", "/no/lib.so", "--list-ops")
    assert missing.returncode == 1
    assert "cannot load backend library /no/lib.so" in missing.stderr
    useless = runner("--backend-lib", ops_library(), "--list-ops")
    assert useless.returncode == 1
    assert "registers no further ExecuTorch backend" in useless.stderr
    for path, text in [("/no/lib.so", "cannot load"), (ops_library(), "registers no further")]:
        with pytest.raises(Error, match=text):
            Pipeline("/no/bundle", backend_libs=[path])


def test_the_command_line_refuses_it_in_one_line(photo, tmp_path):
    command = [sys.executable, "-m", "mobilevd", "generate", photo, "-o", tmp_path / "clip.mp4"]
    done = subprocess.run(
        [*command, "--bundle", tmp_path, "--backend-lib", "/no/lib.so"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("mobilevd: cannot load backend library /no/lib.so")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
