"""adb's packets: a header of six words, then the payload. The same in both directions."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

VERSION = 0x01000001  # the first whose payloads go without a checksum
MAX_PAYLOAD = 1 << 20
HEADER = struct.Struct("<4sIIII4s")

# Argument 0 of AUTH.
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3


@dataclass(frozen=True)
class Packet:
    command: bytes  # CNXN, AUTH, OPEN, OKAY, WRTE, CLSE
    arg0: int
    arg1: int
    payload: bytes = b""

    def encoded(self) -> bytes:
        magic = bytes(b ^ 0xFF for b in self.command)
        # The sum is only looked at before the version is agreed on.
        total = sum(self.payload) & 0xFFFFFFFF if self.command in (b"CNXN", b"AUTH") else 0
        size = len(self.payload)
        header = HEADER.pack(self.command, self.arg0, self.arg1, size, total, magic)
        return header + self.payload


async def read_packet(reader: asyncio.StreamReader) -> Packet:
    """IncompleteReadError at the end of the connection, ValueError for anything but a packet."""
    header = await reader.readexactly(HEADER.size)
    command, arg0, arg1, size, _, magic = HEADER.unpack(header)
    if bytes(b ^ 0xFF for b in command) != magic or size > MAX_PAYLOAD:
        raise ValueError(f"no adb packet: {header!r}")
    return Packet(command, arg0, arg1, await reader.readexactly(size))
