"""The page: one file that needs nothing else, whatever a bundle recorded."""

import copy
import html
import re

import pytest
from mobilevd.export.manifest import read_bundle
from mobilevd.export.page import write_page
from mobilevd.page.units import count, share, size

FIGURES = {"cosine": 1.0, "relative_l2": 1e-5, "max_abs": 1e-4, "psnr_db": 90.0, "non_finite": 0}
ROW = {"block": "mid_block.resnets.0", "reference": "eager", "limit": 1e-3, "ok": True, **FIGURES}


@pytest.fixture
def manifest(mini_bundle):
    return copy.deepcopy(read_bundle(mini_bundle))


def page_of(folder, manifest, name="a bundle"):
    write_page(folder / "report.html", manifest, name)
    return (folder / "report.html").read_text()


def test_it_needs_nothing_else(tmp_path, manifest):
    page = page_of(tmp_path, manifest)
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?:|//\w|<script|<link|<img|@import|\bsrc=", outside)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert ids
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'(?:url\(|href=")#([^")]*)', page):
        assert reference in ids
    # Phones and dark mode; the plots take the page's colours.
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"fill: ?#|stroke: ?#0000", page)
    cut = sum(stage["partitions"] > 3 for stage in manifest["stages"].values())
    assert page.count("<svg") == 3 + cut  # share, kinds, memory, partitions of a stage


def test_it_says_everything(tmp_path, manifest):
    unet = manifest["stages"]["unet"]
    unet["parity"] = [ROW, {**ROW, "block": "whole stage", "relative_l2": 0.5, "ok": False}]
    page = page_of(tmp_path, manifest, "my <bundle>")
    for op in unet["cpu_ops"]:
        assert (f"<code>{op['module']}</code>" if op["module"] else "the stage itself") in page
        assert html.escape(op["reason"]) in page
    for text in ("my &lt;bundle&gt;", str(unet["partitions"]), share(unet["delegated_share_flops"]),
                 size(unet["border_bytes"]), "whole stage", "1 of 2"):  # fmt: skip
        assert text in page
    assert "<bundle>" not in page
    assert page.count('class="bad"') >= 2
    assert "export it again" not in page


def test_nan_has_no_figures(tmp_path, manifest):
    nan = {**ROW, **dict.fromkeys(("cosine", "relative_l2", "max_abs", "psnr_db"))}
    manifest["stages"]["unet"]["parity"] = [ROW, {**nan, "non_finite": 7, "ok": False}]
    assert "7 values are NaN or infinite" in page_of(tmp_path, manifest)


def test_what_an_older_export_did_not_record_is_said(tmp_path, manifest):
    kept = ("program", "weights", "inputs", "outputs", "weight_bytes", "arena_bytes")
    for name, stage in manifest["stages"].items():
        manifest["stages"][name] = {key: stage[key] for key in kept}
    page = page_of(tmp_path, manifest)
    assert "export it again" in page
    assert "unet: not recorded" in page
    assert "<td>–</td>" in page


def test_whole_or_not_at_all(tmp_path, manifest, monkeypatch):
    (tmp_path / "report.html").write_text("older")
    monkeypatch.setattr("mobilevd.export.page.page.plots", lambda stages: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_page(tmp_path / "report.html", manifest, "x")
    assert (tmp_path / "report.html").read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_what_to_install(tmp_path, manifest, monkeypatch, missing):
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(ImportError, match=f"{missing}: pip install 'mobilevd"):
        write_page(tmp_path / "report.html", manifest, "x")
    assert not list(tmp_path.iterdir())


def test_units():
    assert [size(n) for n in (12, 1500, 87945704, 2.5e9, None)] == [
        "12 B", "1.5 kB", "87.9 MB", "2.50 GB", "–"]  # fmt: skip
    assert [count(n) for n in (0, 5497069568, 4.3e12)] == ["0", "5.5 G", "4.30 T"]
    assert [share(x) for x in (1, 0.99996, 0.5, 0.0, None)] == [
        "100.0 %", "99.9 %", "50.0 %", "0.0 %", "–"]  # fmt: skip
