"""The UNet as a bundle has it against the model in eager float32, by `mobilevd inspect --parity`.

On mini in `make test`, at full size in `make full-size`: 4 GB of weights beside a program of 4 GB.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from full_size_bundle import FULL, HOUR, full_size_bundle

# VmHWM, not ru_maxrss: the latter keeps the size of the process that forked this one.
MEASURED = """
import sys
from mobilevd.cli.main import main
try:
    main(sys.argv[2:])
except SystemExit as end:
    status = open("/proc/self/status").read()
    open(sys.argv[1], "w").write(status.split("VmHWM:")[1].split()[0])
    raise
"""


@pytest.mark.parametrize(
    "preset",
    ["mini", pytest.param(FULL, marks=[pytest.mark.full_size, pytest.mark.timeout(HOUR)])],
)
def test_the_unet_is_near_eager_in_bounded_memory(preset, request, tmp_path):
    bundle = request.getfixturevalue("mini_bundle") if preset == "mini" else full_size_bundle()
    peak = tmp_path / "peak"
    command = [sys.executable, "-c", MEASURED, peak]
    command += ["inspect", bundle, "--parity", "--stage", "unet"]
    command += ["--block", "none", "--max-relative-l2", "1e-4", "--json", tmp_path / "r.json"]
    if preset == FULL:
        command += ["--weights", "random:0"]
    subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, check=True)
    peak_mb = int(peak.read_text()) / 1024
    stage = json.loads((tmp_path / "r.json").read_text())["stages"]["unet"]
    (row,) = stage["parity"]
    print(row, f"{peak_mb:.0f} MB")
    assert row["relative_l2"] < 1e-4
    assert row["cosine"] > 1 - 1e-6
    # The file's pages and XNNPACK's packed copy; before that, the model. Python and torch 1 GB.
    assert peak_mb < 3 * stage["weight_bytes"] / 2**20 + 3 * 1024
