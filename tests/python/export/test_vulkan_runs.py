"""What lowers for Vulkan also runs: mini's stages and whole clips, against eager and the CPU.

No package has a Vulkan runtime, so these run where one is given: ``make test-vulkan`` with
``MOBILEVD_VULKAN_RUNTIME=PATH`` ("Vulkan and QNN" in android_runner/README.md).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mobilevd.export.bundle import export_bundle
from mobilevd.export.flavour import Flavour
from mobilevd.export.stages import STAGES, make_stage
from mobilevd.models.store import load_model
from mobilevd.runtime import runner_path
from mobilevd.runtime.video import read_frames
from PIL import Image
from programs import relative_error, run_program

pytestmark = pytest.mark.vulkan

# Against eager with GELU as the backend runs it (tanh); fp16 keeps 11 bits of every feature.
STAGE_TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2}
CLIP_PSNR = {"fp32": 45.0, "fp16": 35.0}
STEPS = 2  # and as many without the picture: a software driver takes seconds for each


@pytest.fixture(scope="session")
def vulkan_runtime() -> Path:
    given = os.environ.get("MOBILEVD_VULKAN_RUNTIME")
    assert given, "MOBILEVD_VULKAN_RUNTIME must be the path of a Vulkan runtime"
    assert Path(given).is_file(), f"MOBILEVD_VULKAN_RUNTIME: no file {given}"
    return Path(given)


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A real photograph, not square."""
    from sklearn.datasets import load_sample_image

    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(load_sample_image("flower.jpg")).save(path)
    return path


@pytest.fixture(scope="session", params=["fp16", "fp32"])
def vulkan_bundle(request, tmp_path_factory) -> tuple[str, Path]:
    """The precision and the bundle; the float32 one takes minutes to make."""
    if request.param == "fp16":
        return "fp16", request.getfixturevalue("mini_vulkan_bundle")
    folder = tmp_path_factory.mktemp("bundles") / "mini-vulkan-fp32"
    export_bundle(load_model("mini"), folder, Flavour("vulkan", "fp32"))
    return "fp32", folder


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_a_stage_equals_eager(vulkan_runtime, vulkan_bundle, name):
    from executorch.runtime import Runtime
    from mobilevd.runtime import load_backend_library

    precision, bundle = vulkan_bundle
    load_backend_library(vulkan_runtime)
    assert "VulkanBackend" in Runtime.get().backend_registry.registered_backend_names
    stage = make_stage(load_model("mini"), name, "xnnpack")
    inputs = stage.example(seed=3)
    (got,) = run_program(bundle / f"{name}.pte", inputs)
    assert relative_error(got, stage.module(*inputs)) < STAGE_TOLERANCE[precision]


def run(runner_flags: list[object]) -> None:
    subprocess.run([str(runner_path()), *map(str, runner_flags)], check=True, timeout=600)


def test_a_clip_looks_as_the_cpus(vulkan_runtime, vulkan_bundle, mini_bundle, photo, tmp_path):
    """The runner's frames against XNNPACK's, and Python's against the runner's."""
    flags = ["--image", photo, "--seed", 7, "--steps", STEPS]
    precision, bundle = vulkan_bundle
    run(["--bundle", mini_bundle, *flags, "--output", tmp_path / "cpu"])
    library = ["--backend-lib", vulkan_runtime]
    figures = ["--json", tmp_path / "result.json"]
    run(["--bundle", bundle, *flags, *library, *figures, "--output", tmp_path / "gpu"])
    want, got = read_frames(tmp_path / "cpu"), read_frames(tmp_path / "gpu")
    error = float(np.mean((got.astype(float) - want.astype(float)) ** 2))
    psnr = math.inf if error == 0 else 10 * math.log10(255**2 / error)
    assert psnr > CLIP_PSNR[precision], psnr
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["bundle"]["backend"], result["bundle"]["precision"]) == ("vulkan", precision)

    command = [sys.executable, "-m", "mobilevd", "generate", *flags[1:], *library]
    command += ["--bundle", bundle, "-o", tmp_path / "python"]
    subprocess.run(list(map(str, command)), check=True, timeout=600)
    np.testing.assert_array_equal(read_frames(tmp_path / "python"), got)
