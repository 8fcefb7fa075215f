"""`mobilevd device list`: adb's answers, and adb missing, failing or hanging."""

import stat

import pytest
from mobilevd.device import DeviceError, adb


def fake_adb(folder, script):
    path = folder / "adb"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return tmp_path


def test_parses_states_and_models(path):
    fake_adb(
        path,
        """cat <<'END'
* daemon started successfully *
List of devices attached
emulator-5554          device product:x model:Pixel_9 device:y transport_id:1
0a1b2c                 unauthorized transport_id:2

END
""",
    )
    assert adb.devices() == [
        {"serial": "emulator-5554", "state": "device", "model": "Pixel_9"},
        {"serial": "0a1b2c", "state": "unauthorized", "model": ""},
    ]


def test_failures_say_what_to_do(path, monkeypatch):
    fake_adb(path, "echo 'cannot connect to daemon' >&2; exit 1")
    with pytest.raises(DeviceError, match=r"failed \(1\): cannot connect to daemon"):
        adb.devices()
    fake_adb(path, "sleep 5")
    with pytest.raises(DeviceError, match="did not answer"):
        adb.adb("devices", timeout=0.2)
    monkeypatch.setenv("PATH", str(path / "none"))
    with pytest.raises(DeviceError, match="apt-get install adb"):
        adb.devices()
