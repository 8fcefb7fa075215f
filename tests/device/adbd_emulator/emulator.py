"""Emulated devices on the loopback, and the private adb server that is connected to them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from .faults import Faults
from .root import DeviceRoot, Phone
from .shell_service import run_exec, run_shell
from .streams import Connection, Stream
from .sync_service import SyncService

_NEEDED = {
    "adb": "adb",
    "mksh-static": "mksh",
    "toybox": "toybox",
    "qemu-aarch64-static": "qemu-user-static",
    "nsenter": "util-linux",
}
FEATURES = "shell_v2,stat_v2,ls_v2,fixed_push_mkdir,sendrecv_v2"


class EmulatedDevice:
    """One phone: its root, its faults, its port. Methods may be called from any thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, root: DeviceRoot, phone: Phone, authorised: bool
    ) -> None:
        self.faults = Faults()
        self.commands: list[str] = []  # every line the client ran, for tests of what was asked
        self.root = root
        self.authorised = authorised
        told = {"product.name": "emulated", "product.model": phone.model, "product.device": "emu"}
        props = ";".join(f"ro.{k}={v.replace(' ', '_')}" for k, v in told.items())
        self._banner = f"device::{props};features={FEATURES}".encode()
        self._loop = loop
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    def drop(self) -> None:
        """The cable is pulled, and plugged in at once."""
        self._loop.call_soon_threadsafe(self._drop)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def vanish(self) -> None:
        if self._server:
            self._server.close()
        self._drop()

    def _drop(self) -> None:
        for connection in self._connections:
            connection.drop()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(
            reader, writer, self._banner, self._service, self.faults, self.authorised
        )
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    async def _service(self, stream: Stream, name: str) -> None:
        kind, _, line = name.partition(":")
        if kind == "sync":
            await SyncService(stream, self.root, self.faults, self._drop).serve()
            return
        self.commands.append(line)
        if self.faults.takes("disconnect", line):
            self._drop()
        elif self.faults.takes("reboot", line):
            self._reboot = asyncio.create_task(self._away())
        elif kind.startswith("shell,v2"):
            await run_shell(stream, line, self.root, self.faults)
        elif kind.split(",")[0] in ("shell", "exec"):
            await run_exec(stream, line, self.root)

    async def _away(self) -> None:
        await self.vanish()
        await asyncio.sleep(self.faults.away_seconds)
        await self.listen()


class Emulator:
    """Devices, and an adb server of their own: nothing touches the user's server or keys.

    Used as a context; ``environment`` is what a client needs to find the server.
    """

    def __init__(self, folder: Path) -> None:
        lacking = [package for tool, package in _NEEDED.items() if not shutil.which(tool)]
        if lacking:
            raise RuntimeError(f"the emulated device needs: apt-get install {' '.join(lacking)}")
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="adbd emulator")
        self.devices: list[EmulatedDevice] = []
        self.environment = {
            "ANDROID_ADB_SERVER_PORT": str(_free_port()),
            "HOME": str(folder),
            "ADB_MDNS": "0",
        }

    def __enter__(self) -> Emulator:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.adb("kill-server")
        for device in self.devices:
            self._do(device.vanish())
        self._do(self._end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for device in self.devices:
            device.root.close()

    def add(
        self, phone: Phone | None = None, data_bytes: int = 256 << 20, authorised: bool = True
    ) -> EmulatedDevice:
        """A further device, attached."""
        phone = phone or Phone()
        folder = self._folder / f"device{len(self.devices)}"
        root = DeviceRoot(folder, phone, data_bytes)
        device = EmulatedDevice(self._loop, root, phone, authorised)
        self._do(device.listen())
        self.devices.append(device)
        self.attach(device)
        return device

    def attach(self, device: EmulatedDevice, seconds: float = 20.0) -> None:
        """Until the adb server has the device, again if need be, as it does by itself with USB."""
        state = "device" if device.authorised else "unauthorized"
        end = time.monotonic() + seconds
        while True:
            self.adb("disconnect", device.serial)
            self.adb("connect", device.serial)
            if f"{device.serial}\t{state}" in self.adb("devices"):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"{device.serial} did not come back")

    def detach(self, device: EmulatedDevice) -> None:
        self.adb("disconnect", device.serial)

    def adb(self, *arguments: str) -> str:
        done = subprocess.run(
            ["adb", *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.stdout + done.stderr

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
