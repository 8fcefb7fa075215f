"""The UNet as a bundle has it against the model in eager float32, by `mobilevd inspect --parity`.

On mini in `make test`, at full size in `make full-size`: 4 GB of weights beside a program of 4 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from full_size_bundle import FULL, HOUR, full_size_bundle


@pytest.mark.parametrize(
    "preset",
    ["mini", pytest.param(FULL, marks=[pytest.mark.full_size, pytest.mark.timeout(HOUR)])],
)
def test_the_unet_is_near_eager_in_bounded_memory(preset, request, tmp_path):
    bundle = request.getfixturevalue("mini_bundle") if preset == "mini" else full_size_bundle()
    command = [sys.executable, "-m", "mobilevd", "inspect", bundle, "--parity", "--stage", "unet"]
    command += ["--block", "none", "--max-relative-l2", "1e-4", "--json", tmp_path / "r.json"]
    if preset == FULL:
        command += ["--weights", "random:0"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    stage = json.loads((tmp_path / "r.json").read_text())["stages"]["unet"]
    (row,) = stage["parity"]
    print(row, f"{used.ru_maxrss >> 10} MB")
    assert row["relative_l2"] < 1e-4
    assert row["cosine"] > 1 - 1e-6
    # The file's pages and XNNPACK's packed copy; before that, the model. Python and torch 1 GB.
    assert used.ru_maxrss / 1024 < 3 * stage["weight_bytes"] / 2**20 + 3 * 1024
