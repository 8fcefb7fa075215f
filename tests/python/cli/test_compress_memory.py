"""Peak memory of the whole command: read, every step, written; at most 1.3 of the model."""

import subprocess
import sys

import pytest
from svd_pipeline import write_pipeline

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

# VmHWM, not ru_maxrss: the latter keeps the size of the process that forked this one. A small run
# first: what imports and the linear algebra's buffers take has nothing to do with the model.
MEASURE = """
import sys
from pathlib import Path
from mobilevd.cli.main import main

def kilobytes(name):
    line = next(l for l in open("/proc/self/status") if l.startswith(name))
    return int(line.split()[1])

def compress(*arguments):
    try:
        main(["compress", *arguments])
    except SystemExit as end:
        assert not end.code

small, *arguments = sys.argv[1:]
compress("--model", small, "--fun-factor", "0.5", "-o", sys.argv[-1])
before = kilobytes("VmRSS")
compress("--weights", *arguments)
size = sum(f.stat().st_size for f in Path(arguments[0]).rglob("*.safetensors")) / 1024
print("megabytes", size / 1024, "ratio", (kilobytes("VmHWM") - before) / size)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """530 MB of float32, so that a second copy of anything shows beside the fixed costs."""
    wide = {"block_out_channels": (96, 192, 384, 384)}
    return write_pipeline(tmp_path_factory.mktemp("svd"), layers=2, unet=wide)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_peak_memory(folder, uncompressed_mini, tmp_path, precision):
    arguments = [
        uncompressed_mini,
        folder,
        "--preset",
        "mobilevd-512x256",
        "--precision",
        precision,
    ]
    command = [sys.executable, "-c", MEASURE, *map(str, arguments), "-o", str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    words = run.stdout.split()
    print(run.stdout)
    assert float(words[words.index("megabytes") + 1]) > 400
    assert 0.9 < float(words[words.index("ratio") + 1]) <= 1.3
