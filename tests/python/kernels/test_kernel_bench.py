"""The peer benchmark: all compute the same; rows and tables. How fast is no test's business."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mobilevd.kernels import bench
from mobilevd.kernels.bench import KERNEL_NAMES, __main__, measure, peers, table
from mobilevd.kernels.bench.problem import Candidate
from mobilevd.kernels.bench.run import load_kernel, run

SHAPES = Path(__file__).parents[3] / "kernels/shapes"

# One small shape of each kernel, and the peers it must have.
SMALL = {
    "temporal_attention": (
        (7, 4, 64, 32),
        [
            "torch_permute",
            "torch_strided",
            "onnxruntime",
            "openvino",
            "executorch_default",
            "executorch_explicit",
        ],
    ),
    "linear": ((10, 24, 40, "geglu"), ["torch", "onnxruntime", "openvino", "executorch"]),
    "conv2d": ((2, 9, 8, 24, 40, 2), ["torch", "onnxruntime", "openvino", "executorch"]),
    "conv2d_int8": (
        (2, 9, 8, 24, 40, 2),
        ["torch_float", "onnxruntime", "openvino", "executorch"],
    ),
    "temporal_attention_block": (
        (7, 4, 32, 2, 8, 16),
        ["torch", "onnxruntime", "openvino", "executorch"],
    ),
    "spatial_attention": (
        (2, 12, 32, 16),
        ["torch_permute", "torch_strided", "onnxruntime", "openvino", "executorch"],
    ),
    "group_norm_silu": ((2, 64, 12, 1), ["torch", "onnxruntime", "openvino", "executorch"]),
    "temporal_conv": ((2, 7, 12, 24, 40), ["torch", "onnxruntime", "openvino", "executorch"]),
}


@pytest.fixture(autouse=True)
def _keep_the_process(monkeypatch):
    monkeypatch.setattr(measure, "keep_freed_memory", lambda: None)  # it is for the whole process


@pytest.mark.parametrize("name", KERNEL_NAMES)
def test_shapes_are_those_of_the_cpp_benchmark(name):
    shapes = SHAPES / f"{name.removesuffix('_int8')}.txt"
    lines = [line.split() for line in shapes.read_text().splitlines()]
    listed = tuple(
        tuple(int(x) if x.isdigit() else x for x in line) for line in lines if line[0] != "#"
    )
    assert listed == load_kernel(name).shapes


# A process that loads every peer, each: two kernels stand for the others where time is short.
BENCHED = [
    pytest.param(name, marks=[] if name in ("temporal_attention", "conv2d") else pytest.mark.slow)
    for name in KERNEL_NAMES
]


@pytest.mark.parametrize("name", BENCHED)
def test_every_peer_agrees_and_every_row_has_plain_figures(name, tmp_path):
    """In a process of its own, for the peers' thread pools."""
    shape, expected = SMALL[name]
    label = "x".join(map(str, shape))
    command = [sys.executable, "-m", "mobilevd.kernels.bench", "--kernel", name, "--shape", label]
    command += ["--repeats", "1", "--json", "rows.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["threads"] for row in rows] == [1, 2]
    for row in rows:
        assert row["peers"] == expected
        assert row["name"] == f"{name} {label} threads {row['threads']}"
        for peer in expected:
            for key in (f"{peer}_median_ms", f"{peer}_min_ms", f"ratio_{peer}"):
                assert row[key] > 0
        for key in ("median_ms", "min_ms", "gflops", "gbps", "roofline_share"):
            assert row[key] > 0
    text = table.markdown(rows)
    assert text.count(f"| {label} | ") == 2
    for library in ("torch", "ONNX Runtime", "OpenVINO", "ExecuTorch"):
        assert library in text


def test_a_peer_that_computes_something_else_is_not_timed():
    kernel = load_kernel("temporal_attention")

    def wrong(*sizes):
        problem = kernel.problem(*sizes)
        return dataclasses.replace(problem, torch={"wrong": lambda out: out.fill_(0.5)})

    with pytest.raises(measure.DisagreementError, match="torch_wrong differs from ours by"):
        run(dataclasses.replace(kernel, problem=wrong), (1,), 1, ["torch"], [(7, 4, 64, 32)])


def test_nan_is_no_agreement():
    made = {
        "ours": Candidate(lambda: None, lambda: np.ones(3, np.float32)),
        "peer": Candidate(lambda: None, lambda: np.full(3, np.nan, np.float32)),
    }
    with pytest.raises(measure.DisagreementError):
        measure.check(made, 1e-4)


def test_slow_candidates_take_part_in_fewer_rounds_spread_evenly():
    calls = []

    def candidate(name, seconds):
        def run():
            calls.append(name)
            time.sleep(seconds)

        return run

    run = {"fast": candidate("fast", 0.0), "slow": candidate("slow", 0.02)}
    times = measure.interleave(run, 12, 0.08, {"fast": 0.0, "slow": 0.02})
    assert len(times["fast"]) == 12
    assert 2 <= len(times["slow"]) <= 4
    assert min(times["slow"]) >= 0.02
    turns = "".join("s" if name == "slow" else "f" for name in calls[2:])  # after the warm-up
    assert max(len(gap) for gap in turns.split("s")) <= 6


def test_missing_peers_are_named_in_one_line_and_left_out(monkeypatch, capsys):
    monkeypatch.setitem(peers.LIBRARIES, "openvino", ("onnx", "no_such_module"))
    rows = __main__.bench(["temporal_attention"], ["torch", "openvino"], [1], 1, ["7x4x64x32"])
    assert rows[0]["peers"] == ["torch_permute", "torch_strided"]
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0] == "without no_such_module, which is not installed: pip install 'mobilevd[bench]'"
    )


def test_spinning_threads_are_prevented_or_named(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")  # so that it is put back
    assert "set OMP_WAIT_POLICY=passive" in bench.spinning_threads_warning()  # torch is here
    monkeypatch.delitem(sys.modules, "torch")
    assert bench.spinning_threads_warning() == ""
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


def test_json_and_markdown(tmp_path, capsys):
    file = tmp_path / "rows.json"
    arguments = ["--kernel", "temporal_attention", "--shape", "7x4x64x32", "--peers", "torch"]
    assert __main__.main([*arguments, "--threads", "1", "--repeats", "1", "--json", str(file)]) == 0
    assert "7x4x64x32" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]
    assert __main__.main(["--markdown", str(file)]) == 0
    assert "| 7x4x64x32 | 1 | " in capsys.readouterr().out


def test_a_missing_file_of_rows_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.main(["--markdown", str(tmp_path / "none.json")])
    assert caught.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "at least 1"),
        (["--threads", "0"], "at least 1"),
        (["--kernel", "mmx"], "unknown kernel 'mmx'; there are: temporal_attention"),
        (["--peers", "tvm"], "unknown peer 'tvm'; there are: torch, onnxruntime"),
        (["--kernel", "temporal_attention", "--shape", "7x4"], "expected framesxpositionsx"),
    ],
)
def test_bad_usage_exits_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
