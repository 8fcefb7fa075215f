"""One emulator per module, with a private adb server that the code under test finds by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adbd_emulator import EmulatedDevice, Emulator, Faults
from mobilevd.device import Device, DeviceFolder


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
    the_phone.faults.__dict__.update(Faults().__dict__)
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
