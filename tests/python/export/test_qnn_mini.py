"""mini for HTP, whole: one context binary a stage, executed in QNN's emulator, against the rest.

Minutes: `make test-slow`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from mobilevd.cli.main import main
from mobilevd.evaluate.flavours import compare
from mobilevd.export.bundle import export_bundle
from mobilevd.export.flavour import Flavour
from mobilevd.export.manifest import read_bundle
from mobilevd.export.qnn_sdk import find_sdk
from mobilevd.export.stages import STAGES
from mobilevd.models.store import load_model
from mobilevd.runtime import runner_path
from mobilevd.runtime.video import read_frames
from mobilevd.training.data.photographs import HELD_OUT, package_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

# Relative L2 against eager of a stage, PSNR of the decoded frames against eager and XNNPACK.
LIMITS = {"fp16": (1e-2, 35.0), "16a8w": (5e-2, 30.0)}


@pytest.fixture(scope="module", params=LIMITS)
def bundle(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / request.param
    export_bundle(load_model("mini"), folder, Flavour("qnn", request.param, soc="SM8650"))
    return folder


def test_every_stage_is_one_context_binary(bundle):
    manifest = read_bundle(bundle)
    assert manifest["soc"] == "SM8650"
    for name in STAGES:
        stage = manifest["stages"][name]
        assert (stage["partitions"], stage["cpu_ops"], stage["required_ops"]) == (1, [], [])


def test_the_same_inputs_give_the_same_frames(bundle, mini_bundle):
    precision = read_bundle(bundle)["precision"]
    relative, decibels = LIMITS[precision]
    rows = {row["name"]: row for row in compare(load_model("mini"), [mini_bundle, bundle])}
    for name in STAGES:
        assert rows[f"qnn {precision} {name}"]["relative_l2"] < relative
    assert rows[f"eager | qnn {precision}"]["psnr_db"] > decibels
    assert rows[f"xnnpack fp32 | qnn {precision}"]["psnr_db"] > decibels
    assert rows["eager | xnnpack fp32"]["psnr_db"] > 60


def test_the_runner_and_the_pipeline_give_the_same_clip(bundle, tmp_path):
    """One Euler step: two evaluations of the UNet in the emulator."""
    picture = package_file(*HELD_OUT[0])
    command = [runner_path(), "--bundle", bundle, "--image", picture, "--seed", "7", "--steps", "1"]
    command += ["--output", tmp_path / "frames", "--json", tmp_path / "result.json"]
    result = subprocess.run(
        list(map(str, command)),
        env=find_sdk().environment(os.environ),
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert result.returncode == 0, result.stderr
    stages = json.loads((tmp_path / "result.json").read_text())["stages"]
    assert {name: stages[name]["calls"] for name in stages}["unet"] == 2
    clip = tmp_path / "clip"
    arguments = [picture, "-o", clip, "--bundle", bundle, "--seed", "7", "--steps", "1"]
    with pytest.raises(SystemExit) as stop:
        main(["generate", *map(str, arguments)])
    assert stop.value.code == 0
    np.testing.assert_array_equal(read_frames(clip), read_frames(tmp_path / "frames"))
    assert torch.from_numpy(read_frames(clip)).float().std() > 1
