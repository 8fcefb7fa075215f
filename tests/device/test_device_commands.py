"""`mobilevd device list, push, clean`: what they print, their exit codes, several devices."""

import json

import pytest
from adbd_emulator import Phone
from mobilevd.errors import ExitCode
from packages import write_package


@pytest.fixture(scope="module")
def other(emulator):
    """A second device, attached in the tests that name it."""
    device = emulator.add(Phone(model="Other", abis="x86_64"))
    emulator.detach(device)
    return device


@pytest.fixture
def two(emulator, phone, other):
    emulator.attach(other)
    yield phone, other
    emulator.detach(other)


@pytest.fixture
def packed(tmp_path):
    return write_package(tmp_path / "package")


def test_list(emulator, two, mobilevd, tmp_path):
    phone, other = two
    locked = emulator.add(authorised=False)
    done = mobilevd("device", "list", "--json", tmp_path / "list.json")
    emulator.detach(locked)
    assert done.code == 0
    rows = {row["serial"]: row for row in json.loads((tmp_path / "list.json").read_text())}
    assert rows[phone.serial] == {
        "serial": phone.serial,
        "state": "device",
        "model": "Emulated 8 Gen 3",
        "manufacturer": "MobileVD",
        "soc": "SM8650",
        "abi": "arm64-v8a",
        "android": "15",
        "emulated": rows[phone.serial]["emulated"],
        "advice": "",
    }
    assert rows[other.serial]["abi"] == "x86_64"
    assert rows[locked.serial]["state"] == "unauthorized"
    assert "unlock it" in rows[locked.serial]["advice"]


def test_a_hung_device_does_not_spoil_the_list(monkeypatch, two, mobilevd, tmp_path):
    phone, other = two
    monkeypatch.setattr("mobilevd.device.adb.TIMEOUT", 4.0)
    phone.faults.begin(hang="getprop")
    assert mobilevd("device", "list", "--json", tmp_path / "list.json").code == 0
    rows = {row["serial"]: row for row in json.loads((tmp_path / "list.json").read_text())}
    assert "did not answer within 4 s" in rows[phone.serial]["advice"]
    assert (rows[phone.serial]["model"], rows[phone.serial]["abi"]) == ("Emulated_8_Gen_3", None)
    assert rows[other.serial]["abi"] == "x86_64"


def test_push_and_clean(phone, packed, mobilevd, tmp_path):
    command = ("device", "push", "--package", packed, "--bundle", packed / "bundle")
    done = mobilevd(*command, "--folder", "ci", "--json", tmp_path / "push.json")
    assert (done.code, done.err) == (0, "")
    (told,) = json.loads((tmp_path / "push.json").read_text())
    assert [len(tree["sent"]) for tree in told["trees"]] == [5, 2]
    mobilevd(*command, "--folder", "ci", "--json", tmp_path / "push.json")
    (told,) = json.loads((tmp_path / "push.json").read_text())
    assert [len(tree["kept"]) for tree in told["trees"]] == [5, 2]

    assert "nothing there" in mobilevd("device", "clean", "--folder", "other").out
    cleaned = mobilevd("device", "clean", "--everyones", "--json", tmp_path / "clean.json")
    assert cleaned.code == 0
    (told,) = json.loads((tmp_path / "clean.json").read_text())
    assert told["removed"] == ["/data/local/tmp/mobilevd-ci"]


def test_one_failing_device_does_not_spoil_the_other(two, packed, mobilevd, tmp_path):
    phone, other = two
    serials = ("--serial", other.serial, "--serial", phone.serial, "--serial", "gone:1")
    json_file = ("--json", tmp_path / "push.json")
    done = mobilevd("device", "push", "--package", packed, *serials, *json_file)
    assert done.code == 3
    assert f"{other.serial} executes x86_64, the package is for arm64-v8a" in done.err
    assert "gone:1 is not attached" in done.err
    told = json.loads((tmp_path / "push.json").read_text())
    assert [bool(row["error"]) for row in told] == [True, False, True]
    assert len(told[1]["trees"][0]["sent"]) == 5


def test_which_device(two, packed, mobilevd, monkeypatch):
    phone, _ = two
    done = mobilevd("device", "clean")
    assert done.code == 3
    assert "choose by --serial" in done.err
    monkeypatch.setenv("ANDROID_SERIAL", phone.serial)
    assert mobilevd("device", "clean").code == 0
    assert mobilevd("device", "clean", "--all", "--serial", "x").code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("push",), 2, "nothing to push"),
        (("push", "--bundle", "none"), 2, "none is no bundle"),
        (("push", "--package", "none"), 1, "none is no package"),
        (("clean", "--folder", "../x"), 2, "no name for a folder"),
        (("clean", "--folder", "x", "--everyones"), 2, "exclude each other"),
        (("clean", "--serial", "-x"), 2, "no serial"),
        (("doctor", "--folder", "a b"), 2, "no name for a folder"),
        (("list", "--what"), 2, "--what"),
    ],
)
def test_bad_usage_and_bad_data(phone, mobilevd, arguments, code, line):
    done = mobilevd("device", *arguments)
    assert done.code == code
    assert line in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["list", "doctor", "push", "clean"])
def test_help_has_an_example(mobilevd, command):
    assert f"Example: mobilevd device {command}" in " ".join(
        mobilevd("device", command, "--help").out.split()
    )


def test_push_trouble_ends_with_3_and_a_rerun_completes(emulator, phone, packed, mobilevd):
    phone.faults.begin(disconnect_after=200_000)
    done = mobilevd("device", "push", "--package", packed)
    assert done.code == ExitCode.DEVICE
    assert "went away during push" in done.err
    assert len(done.err.splitlines()) == 1
    emulator.attach(phone)
    assert mobilevd("device", "push", "--package", packed).code == 0


def test_clean_trouble_ends_with_3(emulator, phone, packed, mobilevd):
    mobilevd("device", "push", "--package", packed)
    phone.faults.begin(disconnect="rm -rf")
    assert mobilevd("device", "clean").code == 3
    emulator.attach(phone)
    assert "mobilevd-" in mobilevd("device", "clean").out
    assert "nothing there" in mobilevd("device", "clean").out


def test_no_adb(monkeypatch, mobilevd, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = mobilevd("device", "list")
    assert (done.code, "apt-get install adb" in done.err) == (3, True)
