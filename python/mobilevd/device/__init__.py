"""Phones: found, filled, run and measured over adb."""

from .adb import Finished, devices
from .connection import Device
from .errors import DeviceError
from .folder import DeviceFolder
from .many import choose
from .package import Package, read_package
from .push import push_bundle, push_package, push_picture, require_complete

__all__ = [
    "Device",
    "DeviceError",
    "DeviceFolder",
    "Finished",
    "Package",
    "choose",
    "devices",
    "push_bundle",
    "push_package",
    "push_picture",
    "read_package",
    "require_complete",
]
