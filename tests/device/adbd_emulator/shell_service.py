"""adbd's ``shell`` and ``exec``: a command's three streams and its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress

from .faults import Faults
from .root import DeviceRoot
from .streams import Stream

STDIN, STDOUT_ID, STDERR_ID, EXIT, CLOSE_STDIN = 0, 1, 2, 3, 4
_HEADER = struct.Struct("<BI")
Write = Callable[[bytes], Awaitable[None]]


def packed(kind: int, data: bytes) -> bytes:
    return _HEADER.pack(kind, len(data)) + data


async def run_shell(stream: Stream, line: str, root: DeviceRoot, faults: Faults) -> None:
    """``shell,v2``: standard output and error apart, and the exit code."""
    if faults.takes("hang", line):
        while await stream.read():  # what the client says is not heard
            pass
        return
    process = await _start(root, line, stdin=PIPE, stderr=PIPE)
    assert process.stdout
    assert process.stderr
    garble = faults.takes("garble", line)
    feed = asyncio.create_task(_feed(stream, process))
    killed = faults.takes("kill", line)
    try:
        if killed:
            os.killpg(process.pid, signal.SIGKILL)

        async def send(kind: int, source: asyncio.StreamReader) -> None:
            await for_each(source, lambda data: stream.write(packed(kind, _noise(data, garble))))

        await asyncio.gather(send(STDOUT_ID, process.stdout), send(STDERR_ID, process.stderr))
        code = await process.wait()
        if killed:  # even if it was faster
            code = -signal.SIGKILL
        # As adbd tells of a signal: 128 and its number.
        await stream.write(packed(EXIT, bytes([code if code >= 0 else 128 - code])))
    finally:
        feed.cancel()
        await _end(process)


async def run_exec(stream: Stream, line: str, root: DeviceRoot) -> None:
    """``exec`` and the old ``shell``: output and errors in one, no exit code."""
    process = await _start(root, line, stdin=DEVNULL, stderr=STDOUT)
    try:
        assert process.stdout
        await for_each(process.stdout, stream.write)
    finally:
        await _end(process)


async def for_each(source: asyncio.StreamReader, write: Write) -> None:
    while data := await source.read(1 << 16):
        await write(data)


# qemu's own default, "max", has SME, which XNNPACK then takes and qemu emulates very slowly.
_ENVIRONMENT = {
    "PATH": "/system/bin",
    "HOME": "/",
    "TMPDIR": "/data/local/tmp",
    "QEMU_CPU": "cortex-a76",
}


async def _start(root: DeviceRoot, line: str, stdin: int, stderr: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *root.command(line),
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        env=_ENVIRONMENT,
        start_new_session=True,
    )


async def _feed(stream: Stream, process: Process) -> None:
    """The client's standard input; its end of the stream is the terminal hanging up."""
    assert process.stdin
    with suppress(ConnectionError):
        try:
            while True:
                kind, size = _HEADER.unpack(await stream.read_exactly(_HEADER.size))
                data = await stream.read_exactly(size)
                if kind == STDIN:
                    process.stdin.write(data)
                    await process.stdin.drain()
                elif kind == CLOSE_STDIN:
                    process.stdin.close()
        except EOFError:
            await _end(process)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _noise(data: bytes, garble: bool) -> bytes:
    return bytes(b ^ 0xA5 for b in data) if garble else data
