"""The emulator itself: as Debian's adb sees it, and by the requests of newer ones."""

import os
import stat
import subprocess

import pytest
from mobilevd.device.errors import DeviceTimeoutError
from raw_client import RawClient


@pytest.fixture
def client(phone):
    with RawClient(phone.port) as client:
        yield client


def test_version_2_of_sync_sends_and_receives(client, device):
    assert "features=shell_v2,stat_v2,ls_v2,fixed_push_mkdir,sendrecv_v2" in client.banner
    client.open("sync:")
    data = os.urandom(200_000)
    assert client.send_file("/data/local/tmp/a/b c", 0o100751, data) == "OKAY"
    assert client.receive_file("/data/local/tmp/a/b c") == data
    told = client.stat("/data/local/tmp/a/b c")
    assert (told[0], told[3], told[7], told[9]) == (0, 0o100751, 200_000, 1_700_000_000)
    assert client.stat("/none")[0] == 2  # ENOENT
    assert set(client.list("/data/local/tmp/a")) == {".", "..", "b c"}
    assert client.list("/none") == {}
    # The same file by version 1.
    assert device.shell(["stat", "-c", "%a %s", "/data/local/tmp/a/b c"]).text == "751 200000\n"


def test_version_2_of_sync_refuses(client):
    client.open("sync:")
    assert "compression" in client.send_file("/data/local/tmp/x", 0o644, b"x", flags=2)
    assert "compression" in client.receive_file("/emulated/meminfo", flags=4)
    assert "No such file" in client.receive_file("/none")
    assert client.send_file("/proc/x", 0o644, b"x" * 100_000) != "OKAY"
    assert client.stat("/data/local/tmp/x")[0] == 2


def test_a_link_is_told_from_what_it_leads_to(client, device):
    device.shell(["ln", "-s", "/system/bin", "/data/local/tmp/link"])
    client.open("sync:")
    assert stat.S_ISLNK(client.stat("/data/local/tmp/link")[3])
    assert client.stat("/../../..")[0] == 0  # the device's root, not this machine's
    assert "home" not in client.list("/../..")


def test_trees_by_adb_itself(emulator, phone, tmp_path):
    (tmp_path / "tree/a b").mkdir(parents=True)
    (tmp_path / "tree/a b/c'd").write_bytes(b"x" * 70_000)
    target = ("-s", phone.serial)
    emulator.adb(*target, "push", str(tmp_path / "tree"), "/data/local/tmp/")
    emulator.adb(*target, "pull", "/data/local/tmp/tree", str(tmp_path / "back"))
    assert (tmp_path / "back/a b/c'd").read_bytes() == b"x" * 70_000
    assert emulator.adb(*target, "exec-out", "cat", "/proc/meminfo").startswith("MemTotal:")
    assert emulator.adb(*target, "get-state") == "device\n"
    assert emulator.adb(*target, "features").startswith("shell_v2")


def test_large_input_and_output_flow_both_ways(device):
    data = os.urandom(3_000_000)
    assert device.shell(["cat"], stdin=data).stdout == data


def test_what_runs_there_ends_with_its_client(phone, device):
    with pytest.raises(DeviceTimeoutError):
        device.shell(["sleep", "1234"], timeout=0.5)
    for _ in range(50):
        if "1234" not in device.shell(["ps", "-ef"]).text:
            break
    else:
        pytest.fail("sleep 1234 still runs")


def test_aarch64_programs_run(device, tmp_path):
    (tmp_path / "hello.c").write_text(
        '#include <stdio.h>\nint main(int n, char **a) { printf("%s\\n", a[1]); return n + 3; }'
    )
    build = ["aarch64-linux-gnu-gcc", "-static", "-o", tmp_path / "hello", tmp_path / "hello.c"]
    subprocess.run(build, check=True)
    device.push_file(tmp_path / "hello", "/data/local/tmp/hello", executable=True)
    done = device.shell(["/data/local/tmp/hello", "it's aarch64"], check=False)
    assert (done.code, done.text) == (5, "it's aarch64\n")


def test_nothing_of_this_machine_is_seen(device):
    assert device.shell(["ls", "/"]).text.split() == sorted(
        ["bin", "data", "dev", "emulated", "lib", "lib64", "proc", "sys", "system", "tmp"]
    )
    assert "MemAvailable: 6800000 kB" in device.shell(["cat", "/proc/meminfo"]).text
    assert "pytest" not in device.shell(["ps", "-ef"]).text
