"""mobilevd-512x256's UNet for Vulkan: one partition within the time and memory of one machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_unet_lowers_whole(tmp_path, precision):
    script = Path(__file__).with_name("full_size.py")
    command = [sys.executable, str(script), "mobilevd-512x256", "unet", precision]
    file = tmp_path / "figures.json"
    subprocess.run([*command, "--json", str(file)], check=True, timeout=3600)
    figures = json.loads(file.read_text())
    assert figures["partitions"] == 1
    assert figures["cpu_ops"] == []
    assert figures["seconds"] < 30 * 60
    assert figures["peak_rss_mb"] < 16_000
    assert figures["program_mb"] > {"fp16": 2000, "fp32": 4000}[precision]
