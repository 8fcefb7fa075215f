"""The peer benchmark's rows; how fast they are is no test's business."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from mobilevd.kernels import bench

SHAPES = Path(__file__).parents[3] / "kernels/shapes/temporal_attention.txt"


def test_shapes_are_those_of_the_cpp_benchmark():
    lines = [line.split() for line in SHAPES.read_text().splitlines() if line[0] != "#"]
    listed = tuple(tuple(int(x) for x in line) for line in lines)
    assert listed == bench.TEMPORAL_ATTENTION_SHAPES


def test_rows_have_plain_figures(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "_keep_freed_memory", lambda: None)  # it is for the whole process
    rows = bench.bench_temporal_attention((1,), repeats=1, shapes=[(7, 4, 64, 32)])
    (row,) = rows
    assert row["name"] == "temporal_attention 7x4x64 head_dim 32 threads 1"
    for key in ("median_ms", "min_ms", "ratio_torch_permute", "ratio_torch_strided", "gbps"):
        assert row[key] > 0

    monkeypatch.setattr(bench, "bench_temporal_attention", lambda *_: rows)
    assert bench.main(["--json", str(tmp_path / "rows.json")]) == 0
    assert json.loads((tmp_path / "rows.json").read_text()) == rows
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]
    assert "7x4x64" in capsys.readouterr().out


def test_bad_usage_exits_2():
    with pytest.raises(SystemExit) as caught:
        bench.main(["--repeats", "0"])
    assert caught.value.code == 2
