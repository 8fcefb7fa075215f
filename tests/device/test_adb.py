"""adb missing, failing or hanging; which device is meant; its commands and files."""

import stat

import pytest
from adbd_emulator import Phone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mobilevd.device import Device, DeviceError, adb, choose
from mobilevd.device.errors import CommandFailedError, NotReadyError
from mobilevd.errors import UsageError

words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40
) | st.text("'\"`$();&|<>\\ \n\t*?~!#-=[]{}", max_size=20)


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


def test_the_one_device_is_meant(phone):
    assert [d.serial for d in choose()] == [phone.serial]
    assert [d.serial for d in choose(environment={"ANDROID_SERIAL": "x"})] == ["x"]
    assert [d.serial for d in choose(["a", "b", "a"], {"ANDROID_SERIAL": "x"})] == ["a", "b"]


def test_none_and_several_and_unauthorised(emulator, phone):
    other = emulator.add(Phone(model="Other"), authorised=False)
    try:
        with pytest.raises(NotReadyError, match="choose by --serial") as error:
            choose()
        assert f"{other.serial} (unauthorized)" in str(error.value)
        assert phone.serial in str(error.value)
        with pytest.raises(NotReadyError, match="unlock it and accept"):
            Device(other.serial).require_ready()
        with pytest.raises(NotReadyError, match="not attached"):
            Device("nowhere:1").require_ready()
        with pytest.raises(DeviceError, match="unlock it"):
            Device(other.serial).shell(["true"])
        emulator.detach(phone)
        emulator.detach(other)
        with pytest.raises(NotReadyError, match="no device is attached"):
            choose()
    finally:
        emulator.detach(other)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(words, min_size=1, max_size=4))
@example(["$(touch /data/local/tmp/pwned)", "`touch /data/local/tmp/pwned`", "'; exit 3; '", "-n"])
@example(["\n", "", "\\", "'\"'"])
def test_words_reach_the_program_as_they_are(device, arguments):
    done = device.shell(["printf", "%s\\0", *arguments])
    assert done.stdout.decode().split("\0") == [*arguments, ""]
    assert device.shell(["ls", "/data/local/tmp"]).stdout == b""


def test_streams_and_exit_code_are_kept_apart(device):
    done = device.shell(["sh", "-c", "cat; echo no >&2; exit 7"], stdin=b"\0\r\n", check=False)
    assert (done.code, done.stdout, done.stderr) == (7, b"\0\r\n", b"no\n")
    assert device.shell(["pwd"], cwd="/data/local").text == "/data/local\n"
    with pytest.raises(CommandFailedError, match=r"cat /none failed \(1\): .*No such file"):
        device.shell(["cat", "/none"])
    # Not adb's own "error: closed": the link is fine.
    said = device.shell(["sh", "-c", "echo 1; echo error: closed >&2; exit 1"], check=False)
    assert said.code == 1


def test_files_there_and_back(device, tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 300)
    remote = '/data/local/tmp/it\'s "b"\n$(x)'
    digest = device.push_file(tmp_path / "a", remote, executable=True)
    assert device.sha256(remote) == digest
    assert device.shell(["stat", "-c", "%a", remote]).text == "755\n"
    assert device.pull_file(remote, tmp_path / "c") == digest
    assert (tmp_path / "c").read_bytes() == (tmp_path / "a").read_bytes()
    assert device.shell(["ls", "-A", "/data/local/tmp"]).text.count("incoming") == 0
    with pytest.raises(CommandFailedError, match="No such file"):
        device.pull_file("/data/local/tmp/none", tmp_path / "c")
    assert (tmp_path / "c").exists()


def test_words_that_no_device_could_get():
    with pytest.raises(UsageError, match="no serial"):
        Device("-x")
    with pytest.raises(UsageError, match="no NUL"):
        Device("x").shell(["a\0b"])
