"""adbd's ``sync``: files, by version 1 (SEND, RECV, STAT, LIST) and 2 (SND2, RCV2, STA2, …)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .faults import Faults
from .root import DeviceRoot
from .streams import Stream

CHUNK = 64 * 1024  # the most that DATA may carry
_STAT_V2 = struct.Struct("<IQQIIIIQqqq")  # after the id: error … times


class SyncService:
    """One ``sync:`` stream, until QUIT or its end. ``drop`` pulls the cable."""

    def __init__(
        self, stream: Stream, root: DeviceRoot, faults: Faults, drop: Callable[[], None]
    ) -> None:
        self._stream, self._root, self._faults, self._drop = stream, root, faults, drop

    async def serve(self) -> None:
        while True:
            request, size = struct.unpack("<4sI", await self._stream.read_exactly(8))
            if request == b"QUIT":
                return
            text = (await self._stream.read_exactly(size)).decode(errors="surrogateescape")
            if request == b"SEND":
                path, _, mode = text.rpartition(",")
                await self._receive_file(path, int(mode))
            elif request == b"SND2":
                _, mode, flags = struct.unpack("<4sII", await self._stream.read_exactly(12))
                await self._receive_file(text, mode, flags)
            elif request == b"RECV":
                await self._send_file(text)
            elif request == b"RCV2":
                _, flags = struct.unpack("<4sI", await self._stream.read_exactly(8))
                await self._send_file(text, flags)
            elif request == b"STAT":
                await self._stream.write(b"STAT" + _stat_v1(self._root.inside(text)))
            elif request in (b"STA2", b"LST2"):
                follow = request == b"STA2"
                await self._stream.write(request + _stat_v2(self._root.inside(text), follow))
            elif request in (b"LIST", b"LIS2"):
                await self._list(text, request)
            else:
                await self._fail(f"unknown command {request!r}")
                return

    async def _receive_file(self, path: str, mode: int, flags: int = 0) -> None:
        """A file from the client. What came is left there when the link ends, as a phone that loses
        power would; adbd itself would tidy up."""
        target = self._root.inside(path)
        error = "compression was not offered" if flags else ""
        file = None
        if not error:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                file = target.open("xb", buffering=0)
            except OSError as problem:
                error = f"couldn't create file: {problem.strerror}"
        try:
            while True:
                kind, size = struct.unpack("<4sI", await self._stream.read_exactly(8))
                if kind == b"DONE":
                    break
                data = await self._stream.read_exactly(size)
                if file and not error:
                    try:
                        self._store(file.fileno(), data)
                    except OSError as problem:
                        error = os.strerror(problem.errno or 0)
                        target.unlink()
        finally:
            if file:
                file.close()
        if error:
            await self._fail(error)
            return
        os.chmod(target, mode & 0o777)
        os.utime(target, (size, size))
        await self._stream.write(struct.pack("<4sI", b"OKAY", 0))

    def _store(self, file: int, data: bytes) -> None:
        self._faults.received += len(data)
        if self._faults.reaches("full_after", self._faults.received):
            self._root.fill()
        if self._faults.reaches("damage_after", self._faults.received):
            data = data[:-1] + bytes([data[-1] ^ 0xFF])
        while data:
            data = data[os.write(file, data) :]
        if self._faults.reaches("disconnect_after", self._faults.received):
            self._drop()
            raise EOFError("the cable was pulled")

    async def _send_file(self, path: str, flags: int = 0) -> None:
        try:
            if flags:
                raise OSError(0, "compression was not offered")
            with self._root.inside(path).open("rb") as file:
                while data := file.read(CHUNK):
                    await self._stream.write(struct.pack("<4sI", b"DATA", len(data)) + data)
                    if self._faults.reaches("disconnect_sent", file.tell()):
                        self._drop()
                        raise EOFError("the cable was pulled")
        except OSError as problem:
            if isinstance(problem, ConnectionError):
                raise
            await self._fail(f"open failed: {problem.strerror}")
            return
        await self._stream.write(struct.pack("<4sI", b"DONE", 0))

    async def _list(self, path: str, request: bytes) -> None:
        folder = self._root.inside(path)
        with suppress(OSError):
            for name in [".", "..", *sorted(os.listdir(folder))]:
                encoded = os.fsencode(name)
                length = struct.pack("<I", len(encoded))
                if request == b"LIST":
                    entry = b"DENT" + _stat_v1(folder / name) + length
                else:
                    entry = b"DNT2" + _stat_v2(folder / name, follow=False) + length
                await self._stream.write(entry + encoded)
        rest = 16 if request == b"LIST" else _STAT_V2.size + 4
        await self._stream.write(b"DONE" + bytes(rest))

    async def _fail(self, message: str) -> None:
        data = message.encode()
        await self._stream.write(struct.pack("<4sI", b"FAIL", len(data)) + data)


def _stat_v1(path: Path) -> bytes:
    """Mode, size and time; zeros for what is not there."""
    try:
        found = path.lstat()
    except OSError:
        return bytes(12)
    size, time = found.st_size & 0xFFFFFFFF, int(found.st_mtime) & 0xFFFFFFFF
    return struct.pack("<III", found.st_mode, size, time)


def _stat_v2(path: Path, follow: bool) -> bytes:
    try:
        s = path.stat() if follow else path.lstat()
    except OSError as problem:
        return _STAT_V2.pack(problem.errno or 0, *[0] * 10)
    times = (int(s.st_atime), int(s.st_mtime), int(s.st_ctime))
    owner = (s.st_nlink, s.st_uid, s.st_gid)
    return _STAT_V2.pack(0, s.st_dev, s.st_ino, s.st_mode, *owner, s.st_size, *times)
