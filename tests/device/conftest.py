"""One emulator per module, with a private adb server that the code under test finds by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from adbd_emulator import EmulatedDevice, Emulator
from mobilevd.cli import main
from mobilevd.device import Device, DeviceFolder
from PIL import Image
from stand_in import write_package


class Ended(NamedTuple):
    """How a command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with (
        Emulator(tmp_path_factory.mktemp("emulator")) as emulator,
        pytest.MonkeyPatch.context() as m,
    ):
        m.delenv("ANDROID_SERIAL", raising=False)
        for name, value in emulator.environment.items():
            m.setenv(name, value)
        yield emulator


@pytest.fixture(scope="module")
def the_phone(emulator: Emulator) -> EmulatedDevice:
    return emulator.add()


@pytest.fixture
def phone(emulator: Emulator, the_phone: EmulatedDevice) -> Iterator[EmulatedDevice]:
    """An emulated device without faults and without our folder."""
    yield the_phone
    the_phone.faults.begin()
    the_phone.root.empty()
    emulator.attach(the_phone)
    emulator.adb("-s", the_phone.serial, "shell", "rm -rf /data/local/tmp/*")
    the_phone.commands.clear()


@pytest.fixture
def device(phone: EmulatedDevice) -> Device:
    return Device(phone.serial)


@pytest.fixture
def folder(device: Device) -> DeviceFolder:
    return DeviceFolder(device, "test")


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a stand-in for the runner."""
    return write_package(tmp_path_factory.mktemp("package") / "package")


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / 'it\'s a "photo" $(id).png'
    Image.new("RGB", (40, 30), (200, 90, 10)).save(path)
    return path


@pytest.fixture
def mobilevd(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command line: its exit code and what it wrote."""

    def run(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in arguments])
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run
