"""doctor: each finding on sound and on ailing devices, and answers that make no sense."""

import json

import pytest
from adbd_emulator import Phone
from mobilevd.device import Device, DeviceFolder, push_package, read_package
from mobilevd.device.doctor import examine
from mobilevd.device.qnn_libraries import htp_arch
from packages import write_package

BUILD, OTHER = b"\0v2.47.0.260601114230_1\0", b"\0v2.37.0.250724175447\0"


@pytest.fixture
def look(monkeypatch, device, folder):
    monkeypatch.setattr("mobilevd.device.doctor.STORAGE_MB", (20, 200))  # the emulated device's

    def look():
        return {finding.name: finding for finding in examine(device, folder)}

    return look


@pytest.fixture
def tell(phone):
    """Changes a file that tells of the device, for one test."""
    before = {}

    def tell(path, text):
        file = phone.root.inside(path)
        before.setdefault(path, file.read_text())
        phone.root.set_file(path, text)

    yield tell
    for path, text in before.items():
        phone.root.set_file(path, text)


def test_a_sound_phone(look):
    found = look()
    assert {f.state for f in found.values()} == {"ok"}
    seen = {name: f.seen for name, f in found.items()}
    assert seen["soc"] == "QTI SM8650"
    assert seen["abi"] == "arm64-v8a"
    assert seen["android"] == "15 (API 35)"
    assert seen["page size"] == "4 KB"
    assert seen["memory"] == "6.5 of 11.0 GB available"
    assert seen["vulkan"] == "1.3.0"
    assert seen["htp"] == "V75"
    assert seen["cores"] == "2 x 2.27 GHz, 5 x 3.15 GHz, 1 x 3.30 GHz; fast: 2-7"
    assert seen["battery"] == "80 % plugged in, 28.5 °C"
    assert seen["temperature"] == "CPU 38 °C, throttling: none"
    assert found["cores"].figures["performance_cores"] == [2, 3, 4, 5, 6, 7]
    assert found["memory"].figures == {"available_mb": 6641, "total_mb": 11230}


AILING = {
    "memory": ("/proc/meminfo", "MemAvailable: 300000 kB\n", "fail", "close apps"),
    "memory low": ("/proc/meminfo", "MemAvailable: 3100000 kB\n", "warn", "2.7 GB in fp16"),
    "memory silent": ("/proc/meminfo", "", "warn", "cat /proc/meminfo"),
    "battery": ("/emulated/dumpsys battery", "  level: 9\n", "warn", "charge it"),
    "battery warm": (
        "/emulated/dumpsys battery",
        "  USB powered: true\n  level: 90\n  temperature: 401\n",
        "warn",
        "let it cool",
    ),
    "battery hot": ("/emulated/dumpsys battery", "level: 90\ntemperature: 470", "fail", "cool"),
    "battery silent": ("/emulated/dumpsys battery", "level: ?", "warn", "dumpsys battery"),
    "temperature": ("/emulated/dumpsys thermalservice", "Thermal Status: 3", "fail", "let it cool"),
    "temperature warm": ("/sys/class/thermal/thermal_zone0/temp", "71000", "warn", "bench waits"),
    "vulkan": ("/emulated/pm list features", "feature:android.hardware.wifi", "warn", "xnnpack"),
    "vulkan old": (
        "/emulated/pm list features",
        "feature:android.hardware.vulkan.version=4194307",
        "warn",
        "xnnpack",
    ),
    "cores": ("/sys/devices/system/cpu/cpu3/cpufreq/cpuinfo_max_freq", "", "warn", "by hand"),
}


@pytest.mark.parametrize("case", AILING)
def test_an_ailing_phone(look, tell, case):
    path, text, state, advice = AILING[case]
    tell(path, text)
    found = look()
    finding = found.pop(case.split()[0])
    assert finding.state == state
    assert advice in finding.advice
    assert {f.state for f in found.values()} == {"ok"}


def test_an_old_phone_of_another_maker(emulator):
    old = Phone(soc="Tensor G1", abis="armeabi-v7a", android="9", cores_khz=(1_800_000,) * 4)
    device = emulator.add(old)
    try:
        one = Device(device.serial)
        found = {f.name: f for f in examine(one, DeviceFolder(one, "test"))}
        assert (found["abi"].state, found["android"].state) == ("fail", "fail")
        assert "use another device" in found["abi"].advice
        assert "API 30" in found["android"].advice
        assert (found["htp"].state, found["htp"].seen) == ("warn", "none known for Tensor G1")
        assert found["cores"].seen == "4 x 1.80 GHz; fast: 0-3"
    finally:
        emulator.detach(device)


def test_a_full_phone(phone, look):
    phone.root.fill()
    finding = look()["storage"]
    assert (finding.state, finding.figures["free_mb"]) == ("fail", 0)
    assert "device clean" in finding.advice


def test_a_phone_with_little_room(monkeypatch, look):
    monkeypatch.setattr("mobilevd.device.doctor.STORAGE_MB", (20, 6000))
    finding = look()["storage"]
    assert finding.state == "warn"
    assert "mobilevd-512x256: 3.3 GB in fp16" in finding.advice


def test_the_folder_and_its_package(folder, look, tmp_path):
    folder.create()
    assert look()["our folder"].state == "warn"
    push_package(folder, read_package(write_package(tmp_path / "p")))
    assert look()["our folder"].seen.endswith("a whole package")


QNN = {
    "one SDK": (
        {"libQnnHtp.so": BUILD, "libQnnHtpV75Stub.so": BUILD, "libQnnHtpV75Skel.so": BUILD},
        "ok",
        "4 of v2.47.0.260601114230 (1 do not tell)",
        "",
    ),
    "two SDKs": ({"libQnnHtp.so": OTHER, "libQnnHtpPrepare.so": BUILD}, "fail", "v2.37", "one SDK"),
    "another HTP's": (
        {"libQnnHtp.so": BUILD, "libQnnHtpV73Stub.so": BUILD, "libQnnHtpV73Skel.so": BUILD},
        "fail",
        "without libQnnHtpV75Skel.so, libQnnHtpV75Stub.so",
        "push libQnnHtpV75Skel.so, libQnnHtpV75Stub.so of the same SDK (v2.47",
    ),
    "silent": ({}, "warn", "1 of an unknown build", "of one SDK"),
}


@pytest.mark.parametrize("case", QNN)
def test_qnn_libraries(folder, look, case):
    files, state, seen, advice = QNN[case]
    folder.create()
    place = folder.make("package/lib")
    for name, build in {**files, "libQnnSystem.so": b""}.items():
        data = b"\x7fELF\0" + bytes(range(256)) * 9 + build + b"\n" + bytes(100)
        folder.device.push_bytes(data, f"{place}/{name}")
    finding = look()["qnn libraries"]
    assert finding.state == state
    assert seen in finding.seen
    assert advice in finding.advice


def test_htp_architectures():
    assert [htp_arch(soc) for soc in ("SM8550", "sm8750", "SM1", "")] == [73, 79, None, None]


def test_noise_is_a_finding_not_a_traceback(phone, look):
    phone.faults.begin(garble="getconf")
    assert look()["pages"].state == "fail"
    phone.faults.begin(garble="/sys/class/thermal")
    assert "garbled" in look()["temperature"].seen


def test_the_command(phone, tell, mobilevd, tmp_path):
    done = mobilevd("device", "doctor", "--json", tmp_path / "d.json")
    assert done.code == 0
    assert "QTI SM8650" in done.out
    (told,) = json.loads((tmp_path / "d.json").read_text())
    assert (told["serial"], told["error"]) == (phone.serial, None)
    assert {f["name"]: f["figures"] for f in told["findings"]}["htp"] == {"htp_arch": "V75"}
    tell("/emulated/dumpsys thermalservice", "Thermal Status: 4")
    assert mobilevd("device", "doctor").code == 3


FAULTS = {
    "hang": ({"hang": "getprop"}, "did not answer within"),
    "disconnect": ({"disconnect": "df -k"}, "went away during df"),
    "reboot": ({"reboot": "dumpsys battery"}, "went away during dumpsys battery"),
    "kill": ({"kill": "cat /proc/meminfo"}, "was killed (exit code 137)"),
    "garble": ({"garble": "getprop"}, "cut off or garbled"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_trouble_has_a_line_and_code_3(monkeypatch, emulator, phone, mobilevd, fault):
    fields, line = FAULTS[fault]
    monkeypatch.setattr("mobilevd.device.adb.TIMEOUT", 2.0)
    phone.faults.begin(**fields)
    done = mobilevd("device", "doctor")
    assert done.code == 3
    assert len(done.err.splitlines()) == 1
    assert line in done.err
    emulator.attach(phone)
    assert mobilevd("device", "doctor").code == 0
