"""adb's client side of the protocol, as newer adbs speak it: SND2, RCV2, LST2 (adb 29 does not)."""

from __future__ import annotations

import socket
import struct
from types import TracebackType

from adbd_emulator.packets import HEADER, VERSION, Packet

STAT_V2 = struct.Struct("<IQQIIIIQqqq")
CHUNK = 64 * 1024


class RawClient:
    """One connection with one stream at a time; everything blocks."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        banner = b"host::features=shell_v2,stat_v2,ls_v2,sendrecv_v2"
        self._send(Packet(b"CNXN", VERSION, 1 << 20, banner))
        self.banner = self._receive(b"CNXN").payload.decode()
        self._peer = self._own = 0
        self._data = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()

    def open(self, service: str) -> None:
        self._own += 1
        self._data = b""
        self._send(Packet(b"OPEN", self._own, 0, service.encode() + b"\0"))
        self._peer = self._receive(b"OKAY").arg0

    def write(self, data: bytes) -> None:
        self._send(Packet(b"WRTE", self._own, self._peer, data))
        self._receive(b"OKAY")

    def read(self, count: int) -> bytes:
        while len(self._data) < count:
            self._data += self._receive(b"WRTE").payload
            self._send(Packet(b"OKAY", self._own, self._peer))
        data, self._data = self._data[:count], self._data[count:]
        return data

    def close(self) -> None:
        self._send(Packet(b"CLSE", self._own, self._peer))

    def send_file(self, path: str, mode: int, data: bytes, flags: int = 0) -> str:
        """SND2; "OKAY", or the device's complaint."""
        name = path.encode()
        self.write(struct.pack("<4sI", b"SND2", len(name)) + name)
        self.write(struct.pack("<4sII", b"SND2", mode, flags))
        for start in range(0, len(data), CHUNK):
            part = data[start : start + CHUNK]
            self.write(struct.pack("<4sI", b"DATA", len(part)) + part)
        self.write(struct.pack("<4sI", b"DONE", 1_700_000_000))
        return self._answer()

    def receive_file(self, path: str, flags: int = 0) -> bytes | str:
        """RCV2; the file, or the device's complaint."""
        name = path.encode()
        self.write(struct.pack("<4sI", b"RCV2", len(name)) + name)
        self.write(struct.pack("<4sI", b"RCV2", flags))
        data = b""
        while True:
            kind, size = struct.unpack("<4sI", self.read(8))
            if kind == b"DONE":
                return data
            body = self.read(size)
            if kind == b"FAIL":
                return body.decode()
            data += body

    def stat(self, path: str, request: bytes = b"LST2") -> tuple[int, ...]:
        """STA2 or LST2: error, dev, ino, mode, nlink, uid, gid, size, atime, mtime, ctime."""
        name = path.encode()
        self.write(struct.pack("<4sI", request, len(name)) + name)
        assert self.read(4) == request
        return STAT_V2.unpack(self.read(STAT_V2.size))

    def list(self, path: str) -> dict[str, tuple[int, ...]]:
        """LIS2: name -> what :meth:`stat` tells."""
        name = path.encode()
        self.write(struct.pack("<4sI", b"LIS2", len(name)) + name)
        found = {}
        while self.read(4) == b"DNT2":
            about = STAT_V2.unpack(self.read(STAT_V2.size))
            (length,) = struct.unpack("<I", self.read(4))
            found[self.read(length).decode()] = about
        self.read(STAT_V2.size + 4)
        return found

    def _answer(self) -> str:
        kind, size = struct.unpack("<4sI", self.read(8))
        return "OKAY" if kind == b"OKAY" else self.read(size).decode()

    def _send(self, packet: Packet) -> None:
        self._socket.sendall(packet.encoded())

    def _receive(self, command: bytes) -> Packet:
        """The next packet of a kind; the device's OKAYs and others do not overtake each other."""
        header = self._exactly(HEADER.size)
        found, arg0, arg1, size, _, _ = HEADER.unpack(header)
        packet = Packet(found, arg0, arg1, self._exactly(size))
        if packet.command == b"WRTE" and command == b"OKAY":
            self._data += packet.payload
            self._send(Packet(b"OKAY", self._own, self._peer))
            return self._receive(command)
        assert packet.command == command, packet
        return packet

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            assert part, "the device ended the connection"
            data += part
        return data
