"""One adb connection of a device: who may talk, and the streams over it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from .faults import Faults
from .packets import MAX_PAYLOAD, PUBLIC_KEY, TOKEN, VERSION, Packet, read_packet


class Stream:
    """Bytes both ways between a service and the client, one packet under way each way at most."""

    def __init__(self, connection: Connection, own: int, peer: int) -> None:
        self._connection, self._own, self._peer = connection, own, peer
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.closed = False

    async def read(self) -> bytes:
        """What came next; empty at the end."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        if self.closed and self._received.empty():
            return b""
        data = await self._received.get()
        if data and not self.closed:
            await self._connection.send(Packet(b"OKAY", self._own, self._peer))
        return data

    async def read_exactly(self, count: int) -> bytes:
        parts, missing = [], count
        while missing:
            data = await self.read()
            if not data:
                raise EOFError("the client ended the stream")
            parts.append(data[:missing])
            self._rest = data[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    async def write(self, data: bytes) -> None:
        """BrokenPipeError once the client has closed the stream."""
        for start in range(0, len(data), MAX_PAYLOAD):
            await self._may_write.wait()
            if self.closed:
                raise BrokenPipeError("the client closed the stream")
            self._may_write.clear()
            part = data[start : start + MAX_PAYLOAD]
            await self._connection.send(Packet(b"WRTE", self._own, self._peer, part))

    async def close(self) -> None:
        """After the client has taken what was written."""
        await self._may_write.wait()
        if not self.closed:
            self.closed = True
            await self._connection.send(Packet(b"CLSE", self._own, self._peer))

    def take(self, packet: Packet) -> None:
        if packet.command == b"WRTE":
            self._received.put_nowait(packet.payload)
        elif packet.command == b"OKAY":
            self._may_write.set()
        else:
            self.end()

    def end(self) -> None:
        self.closed = True
        self._received.put_nowait(b"")
        self._may_write.set()


Service = Callable[[Stream, str], Awaitable[None]]


class Connection:
    """Answers one client until it, or :meth:`drop`, ends the connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        banner: bytes,
        service: Service,
        faults: Faults,
        authorised: bool,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._banner, self._service, self._faults = banner, service, faults
        self._authorised = authorised
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        try:
            while True:
                packet = await read_packet(self._reader)
                await self._slowly(len(packet.payload))
                await self._answer(packet)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            self.drop()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> None:
        """The cable is pulled."""
        self._writer.transport.abort()
        for stream in self._streams.values():
            stream.end()

    async def send(self, packet: Packet) -> None:
        await self._slowly(len(packet.payload))
        with suppress(ConnectionError):
            self._writer.write(packet.encoded())
            await self._writer.drain()

    async def _slowly(self, size: int) -> None:
        if self._faults.bytes_per_second and size:
            await asyncio.sleep(size / self._faults.bytes_per_second)

    async def _answer(self, packet: Packet) -> None:
        if packet.command == b"CNXN" and self._authorised:
            await self.send(Packet(b"CNXN", VERSION, MAX_PAYLOAD, self._banner))
        elif packet.command in (b"CNXN", b"AUTH"):
            # A key that nobody accepts on the screen gets no answer.
            if not (packet.command == b"AUTH" and packet.arg0 == PUBLIC_KEY):
                await self.send(Packet(b"AUTH", TOKEN, 0, os.urandom(20)))
        elif packet.command == b"OPEN":
            await self._open(packet)
        elif packet.arg1 in self._streams:
            self._streams[packet.arg1].take(packet)

    async def _open(self, packet: Packet) -> None:
        self._last = own = self._last + 1
        stream = self._streams[own] = Stream(self, own, packet.arg0)
        await self.send(Packet(b"OKAY", own, packet.arg0))
        name = packet.payload.rstrip(b"\0").decode(errors="surrogateescape")
        task = asyncio.create_task(self._run(own, stream, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, own: int, stream: Stream, name: str) -> None:
        try:
            with suppress(EOFError, ConnectionError):
                await self._service(stream, name)
        finally:
            await stream.close()
            del self._streams[own]
