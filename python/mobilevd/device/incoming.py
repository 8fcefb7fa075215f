"""Files on their way: sent under the name of their sha256, verified, and only then put in place.

What a cut-off transfer left is found by these names and used: small files that arrived whole, and
the verified parts of a large one.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .adb import transfer_time
from .batches import batches
from .connection import Device
from .errors import DamagedError
from .package import Source

PART = 64 << 20  # bytes that a lost link costs at most


class Incoming:
    """``folder``, on the device, is ours alone; ``files`` are the device paths to be filled.

    What older transfers left there of other files is removed; ``held`` is what can be used.
    """

    def __init__(self, device: Device, folder: str, files: Mapping[str, Source]) -> None:
        self._device, self._folder, self._files = device, folder, files
        wanted = {source.sha256 for source in files.values()}
        device.shell(["mkdir", "-p", folder])
        found = device.shell(["find", folder, "-type", "f"]).text.splitlines()
        names = {path: path.rpartition("/")[2] for path in found}
        device.shell_on(["rm", "-f"], [p for p in found if names[p] not in wanted])
        self.held: dict[str, int] = {}
        ours = [path for path in found if names[path] in wanted]
        for paths, done in device.shell_on(["stat", "-c", "%s"], ours):
            sizes = map(int, done.text.split())
            self.held.update(zip((names[path] for path in paths), sizes, strict=True))

    def deliver(self, done: Callable[[int], None]) -> None:
        """``done`` hears how many bytes more are there.

        DamagedError if what arrived has another sha256; ValueError if a file here changed.
        """
        files = self._files
        small = [path for path, source in files.items() if source.bytes <= PART]
        for batch in batches(small, lambda path: files[path].bytes, PART):
            self._deliver_small({path: files[path] for path in batch})
            done(sum(files[path].bytes for path in batch))
        for path, source in files.items():
            if source.bytes > PART:
                self._send_in_parts(source, done)
                self._place({path: source})
        self._device.shell(["rmdir", self._folder])

    def _deliver_small(self, files: Mapping[str, Source]) -> None:
        sources = {source.sha256: source for source in files.values()}
        here = [name for name, source in sources.items() if self.held.get(name) == source.bytes]
        right = self._right(sources, here)
        missing = [name for name in sources if name not in right]
        self._send([(sources[name].local, name) for name in missing])
        right |= self._right(sources, missing)
        for name, source in sources.items():
            if name not in right:
                raise self._damaged(source)
        self._place(files)

    def _send_in_parts(self, source: Source, done: Callable[[int], None]) -> None:
        whole, part = source.sha256, f"{source.sha256}.part"
        have = self.held.get(whole, 0)
        if not self._is_beginning(source, have):
            self._device.shell(["rm", "-f", self._at(whole)])
            have = 0
        done(have)
        with source.local.open("rb") as file:
            file.seek(have)
            while data := file.read(PART):
                with tempfile.NamedTemporaryFile(prefix="mobilevd-part-") as piece:
                    piece.write(data)
                    piece.flush()
                    self._send([(Path(piece.name), part)])
                digest = hashlib.sha256(data).hexdigest()
                if self._device.sha256(self._at(part), transfer_time(len(data))) != digest:
                    raise self._damaged(source)
                self._device.append(self._at(part), self._at(whole), transfer_time(len(data)))
                done(len(data))
        if self._device.sha256(self._at(whole), transfer_time(source.bytes)) != whole:
            raise self._damaged(source)

    def _is_beginning(self, source: Source, size: int) -> bool:
        """Whether what is there are the file's first ``size`` bytes."""
        if not 0 < size <= source.bytes:
            return size == 0
        digest = hashlib.sha256()
        with source.local.open("rb") as file:
            left = size
            while left and (data := file.read(min(left, 1 << 20))):
                digest.update(data)
                left -= len(data)
        there = self._device.sha256(self._at(source.sha256), transfer_time(size))
        return there == digest.hexdigest()

    def _send(self, files: list[tuple[Path, str]]) -> None:
        """By one adb: links give the files their names, which adb cannot."""
        if not files:
            return
        with tempfile.TemporaryDirectory(prefix="mobilevd-push-") as folder:
            links = [Path(folder) / name for _, name in files]
            for link, (local, _) in zip(links, files, strict=True):
                link.symlink_to(local.absolute())
            self._device.push_into(links, self._folder)

    def _right(self, sources: Mapping[str, Source], names: list[str]) -> set[str]:
        """Those of the names whose bytes on the device are what the name says."""
        if not names:
            return set()
        seconds = transfer_time(sum(sources[name].bytes for name in names))
        digests = self._device.sha256_of_all([self._at(name) for name in names], seconds)
        return {name for name, digest in zip(names, digests, strict=True) if digest == name}

    def _place(self, files: Mapping[str, Source]) -> None:
        """Gives verified files their modes and names; a file wanted twice is copied once."""
        commands = []
        placed: dict[str, str] = {}
        for path, source in files.items():
            name = self._at(source.sha256)
            if source.sha256 in placed:
                commands.append(["cp", placed[source.sha256], name])
            commands.append(["chmod", "755" if source.executable else "644", name])
            commands.append(["mv", "-f", name, path])
            placed[source.sha256] = path
        self._device.shell_all(commands)

    def _at(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _damaged(self, source: Source) -> Exception:
        now = hashlib.sha256(source.local.read_bytes()).hexdigest()
        if now != source.sha256:
            return ValueError(f"{source.local} changed while it was pushed: push again")
        return DamagedError(
            f"{self._device.serial}: {source.local.name!r} arrived damaged (another sha256): try "
            "again; if it stays so, use another cable or port"
        )
