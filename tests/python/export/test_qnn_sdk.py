"""Where QNN's libraries come from, and what is said when they cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mobilevd.cli.main import main
from mobilevd.export import qnn_sdk
from mobilevd.export.flavour import Flavour
from mobilevd.export.qnn_sdk import LIBRARIES, REAL, find_sdk


@pytest.fixture(autouse=True)
def no_sdk_given(monkeypatch, tmp_path):
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def an_sdk(root: Path, build: str) -> Path:
    libraries = root / LIBRARIES
    libraries.mkdir(parents=True)
    (libraries / "libQnnSystem.so").touch()
    (libraries / "libQnnHtp.so").write_bytes(b"\x7fELF..v1.2\0" + build.encode() + b"\0..")
    return root


def test_the_wheel_is_laid_out_as_an_sdk_once():
    sdk = find_sdk()
    assert sdk.build.startswith("v2.47.0.")
    assert (sdk.libraries / "libQnnHtp.so").resolve().name == "libmobilevd_qnn_htp.so"
    assert (sdk.libraries / REAL).resolve().parent.name == "onnxruntime_qnn"
    assert find_sdk() == sdk
    assert [p.name for p in sdk.root.parent.iterdir()] == [sdk.root.name]


def test_a_layout_whose_wheel_moved_is_made_again():
    sdk = find_sdk()
    link = sdk.libraries / "libQnnHtp.so"
    link.unlink()
    link.symlink_to("/nowhere")
    assert find_sdk() == sdk
    assert link.exists()


def test_a_users_sdk_is_used_as_it_is(monkeypatch, tmp_path):
    root = an_sdk(tmp_path / "sdk", "v2.37.0.250724175447_124859")
    monkeypatch.setenv("QNN_SDK_ROOT", str(root))
    assert find_sdk() == qnn_sdk.QnnSdk(root, "v2.37.0.250724175447_124859")


def test_a_users_sdk_that_moved_the_struct_gets_the_stand_in(monkeypatch, tmp_path):
    root = an_sdk(tmp_path / "sdk", "v2.51.0.260801114230")
    monkeypatch.setenv("QNN_SDK_ROOT", str(root))
    sdk = find_sdk()
    assert (sdk.libraries / REAL).resolve() == root / LIBRARIES / "libQnnHtp.so"
    # As a child process sees it, which is given what was laid out.
    monkeypatch.setenv("QNN_SDK_ROOT", sdk.environment()["QNN_SDK_ROOT"])
    assert find_sdk() == sdk


@pytest.mark.parametrize("build", ["v2.99.0.270101000000", "v1.37.0.250724175447", ""])
def test_an_unknown_build_is_refused(monkeypatch, tmp_path, build):
    monkeypatch.setenv("QNN_SDK_ROOT", str(an_sdk(tmp_path / "sdk", build)))
    with pytest.raises(RuntimeError, match=r"is QNN (v|of no known).* use QNN 2\.37, 2\.47, 2\.51"):
        find_sdk()


def test_no_sdk_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr(qnn_sdk, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"no Qualcomm SDK: pip install 'mobilevd\[qnn\]'"):
        find_sdk()
    monkeypatch.setenv("QNN_SDK_ROOT", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"QNN_SDK_ROOT=.* has no .*libQnnHtp\.so"):
        find_sdk()


def test_a_child_process_finds_the_libraries():
    sdk = find_sdk()
    variables = sdk.environment({"LD_LIBRARY_PATH": "/a"})
    assert variables["LD_LIBRARY_PATH"] == f"{sdk.libraries}:/a"
    code = "import ctypes; n = ctypes.c_uint(); p = ctypes.c_void_p(); " + (
        "print(ctypes.CDLL('libQnnHtp.so').QnnInterface_getProviders("
        "ctypes.byref(p), ctypes.byref(n)), n.value)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=sdk.environment(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == "0 1\n", result.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--backend qnn needs --soc; known: "),
        (("--soc", "SM9999"), "unknown --soc SM9999; known: "),
    ],
)
def test_the_soc_is_named_and_known(tmp_path, capsys, flags, message):
    output = tmp_path / "bundle"
    with pytest.raises(SystemExit) as stop:
        main(["export", "-o", str(output), "--backend", "qnn", "--precision", "fp16", *flags])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert all(soc in said for soc in ("SM8550", "SM8650", "SM8750"))
    assert not output.exists()


def test_only_qnn_takes_a_soc():
    with pytest.raises(ValueError, match="--soc goes with --backend qnn, not xnnpack"):
        Flavour(soc="SM8650")


def test_the_stand_in_survives_being_closed_and_opened_again():
    """As the runner does from stage to stage: QNN's table must not point into what was unloaded."""
    code = """
import ctypes, _ctypes
count, providers = ctypes.c_uint(), ctypes.POINTER(ctypes.c_void_p)()
tables = set()
for _ in range(3):
    library = ctypes.CDLL("libQnnHtp.so")
    assert library.QnnInterface_getProviders(ctypes.byref(providers), ctypes.byref(count)) == 0
    create = (ctypes.c_void_p * 46).from_address(providers[0])[45]
    tables.add(create)
    maps = [line.split()[0].split("-") for line in open("/proc/self/maps") if "mobilevd" in line]
    assert any(int(a, 16) <= create < int(b, 16) for a, b in maps), "deviceCreate is not ours"
    _ctypes.dlclose(library._handle)
print(len(tables))
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=find_sdk().environment(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == "1\n", result.stderr
