"""Phones without a phone: adbd's side of the protocol, for the real adb; see README.md here."""

from .emulator import EmulatedDevice, Emulator
from .faults import Faults
from .root import Phone

__all__ = ["EmulatedDevice", "Emulator", "Faults", "Phone"]
