"""`mobilevd device report`: JSON, Markdown and one page that needs nothing else."""

import json
import re

import numpy as np
import pytest
from mobilevd.device.report import write_report
from mobilevd.device.results import Repeat, combine
from mobilevd.runtime.video import write_video
from PIL import Image
from stand_in import frames, result

PHONE = {"serial": "1", "manufacturer": "<Maker>", "model": "Pixel 9", "soc": "Tensor G4",
         "abi": "arm64-v8a", "android": "15", "emulated": False}  # fmt: skip


def bench_of(model, emulated=False):
    """A result of `device bench`: three repeats, the device warming up."""
    repeats = [
        Repeat({**result(), "total_ms": 100.0 + 10 * i}, 60.0 * i, 5.0 * i, 38.0, 40.0 + i)
        for i in range(3)
    ]
    bar = {
        "kind": "bar",
        "name": "total_ms",
        "value": 110,
        "limit": 90,
        "note": "",
        "ok": False,
    }
    profile = [
        {"stage": "unet", "name": f"op {i}", "delegated": i % 2 == 0, "calls": 2,
         "total_ms": 10.0 - i, "share": 0.1}
        for i in range(10)
    ]  # fmt: skip
    device = {**PHONE, "model": model, "emulated": emulated}
    further = {"device": device, "cores": [0], "verdicts": [bar], "profile": profile}
    return {**combine(repeats), **further}


@pytest.fixture
def runs(tmp_path):
    """Two benches, one with a clip and its picture beside it, and a run on a computer."""
    write_video(tmp_path / "clip.gif", frames(), 7.0)
    Image.fromarray(frames()[0]).save(tmp_path / "photo.png")
    own = {"clip": "clip.gif", "picture": "photo.png"}
    values = {
        "pixel": bench_of("Pixel 9") | own,
        "emu": bench_of("Emu | 8", True),
        "host": result(),
    }
    for name, value in values.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    return [tmp_path / f"{name}.json" for name in values]


def test_three_files_side_by_side(runs, tmp_path):
    write_report(runs, tmp_path / "report")
    found = {p.name: p.read_text() for p in (tmp_path / "report").iterdir()}
    assert sorted(found) == ["report.html", "report.json", "report.md"]
    rows = json.loads(found["report.json"])
    assert [row["name"] for row in rows] == ["Pixel 9", "Emu | 8", "stand-in"]
    assert rows[0]["total_ms"] == 110
    assert rows[0]["stages_median_ms"]["unet"] == 30
    text = found["report.md"]
    assert "| unet | 30.0 (30.0) | 30.0 (30.0) | 30.0 (30.0) |" in text
    assert "Emu \\| 8" in text  # a name does not break the table
    assert "mobilevd::temporal_attention | neon | 12 | 10.5 |" in text
    for line in (line for line in text.splitlines() if line.startswith("| Pixel 9 | phone")):
        assert "| 110 | 8.0 | 50 | 3 | 1 | 0 | neon | 38 | 42 |" in line
    page = found["report.html"]
    for heading in ("Runs", "Stages", "Bars and baselines", "Our kernels", "Profile of Pixel 9"):
        assert f"<h2>{heading}</h2>" in page
    assert "no figure of a phone's speed: Emu | 8, stand-in." in page
    assert "op 7" in page
    assert "op 8" not in page  # only the longest
    assert page.count('<tr class="bad">') == 2


def test_the_page_needs_nothing_else(runs, tmp_path):
    write_report(runs, tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text()
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r'https?:|<script|<link|@import|\bsrc="(?!data:image)', outside)
    assert page.count("data:image/webp;base64,") == 1  # one run has its clip
    assert "First: the picture." in page
    assert page.count("<svg") == 4  # stages on phones and not, and the repeats of two benches
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"fill: ?#|stroke: ?#0000", page)


def test_names_tell_runs_apart(tmp_path):
    paths = []
    for name in ("monday", "tuesday"):
        (tmp_path / f"{name}.json").write_text(json.dumps(bench_of("Pixel 9")))
        paths.append(tmp_path / f"{name}.json")
    found = [run.name for run in write_report([*paths, paths[0]], tmp_path / "report")]
    assert found == ["Pixel 9 (monday)", "Pixel 9 (tuesday)", "Pixel 9 (monday)'"]


def test_from_the_command_line(mobilevd, runs, tmp_path):
    ended = mobilevd("device", "report", *runs, "-o", tmp_path / "report")
    assert ended.code == 0, ended.err
    assert "Pixel 9" in ended.out
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("x")
    (tmp_path / "bad.json").write_text("{}")
    for name, phone in {"lacks": {"model": "Pixel 9"}, "list": ["Pixel 9"]}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({**result(), "device": phone}))
    for files, output, code, line in [
        (runs, "other", 1, "holds other files"),
        ([tmp_path / "bad.json"], "new", 2, "no result of a run: not a result of schema 1"),
        ([tmp_path / "lacks.json"], "new", 2, "no result of a run: device.emulated is missing"),
        ([tmp_path / "list.json"], "new", 2, "no result of a run: its device is no table"),
        ([tmp_path / "none.json"], "new", 2, "No such file"),
    ]:
        ended = mobilevd("device", "report", *files, "-o", tmp_path / output)
        assert ended.code == code
        assert line in ended.err
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "other/thesis.tex").exists()


@pytest.mark.parametrize("clip", [None, 7, "none.mp4", "report.json", "photo.png"])
def test_a_clip_that_is_gone_or_none(runs, tmp_path, clip):
    value = json.loads(runs[0].read_text()) | {"clip": clip, "picture": clip}
    runs[0].write_text(json.dumps(value))
    write_report(runs[:1], tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text()
    assert ("data:image" in page) == (clip == "photo.png")


def test_a_folder_of_frames_with_a_broken_one(runs, tmp_path):
    write_video(tmp_path / "frames", frames(), 7.0)
    (tmp_path / "frames/frame_0001.png").write_bytes(b"no picture")
    value = json.loads(runs[0].read_text()) | {"clip": "frames"}
    runs[0].write_text(json.dumps(value))
    write_report(runs, tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text()
    assert "data:image" not in page
    assert "Profile of Pixel 9" in page


def test_large_frames_are_shown_smaller(runs, tmp_path):
    big = np.zeros((14, 288, 512, 3), np.uint8)
    write_video(tmp_path / "clip.gif", big, 7.0)
    write_report(runs[:1], tmp_path / "report")
    assert (tmp_path / "report/report.html").stat().st_size < 300_000
