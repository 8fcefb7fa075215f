"""Phones: found, filled, run and measured over adb."""
