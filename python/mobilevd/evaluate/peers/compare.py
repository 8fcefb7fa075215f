"""The measurement itself, peer by peer; what is there from an earlier run is not done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ...compress.flops import cost
from ...kernels.bench.run import about
from ...models.config import UNetConfig
from ...models.parts import random_seed
from ...presets import Preset
from . import processes
from .bars import bars
from .kept import Kept, digest_of_weights, key_of, megabytes, sources, versions
from .ours import BUNDLE
from .peer import OURS, PEERS, SHARED, Peer
from .processes import PeerError
from .reference import Reference
from .room import check_room
from .rows import Row, against_ours, relative_l2, times
from .task import Task

Progress = Callable[[int, int, str], object]


class Measured(Protocol):
    """What ``Reference`` is, and what a test may put in its place."""

    def key(self) -> str: ...
    def measure(self) -> dict[str, Any]: ...
    def profile(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Plan:
    """``weights``: ``random:SEED`` or a model folder. ``bundle``: one of those weights that is
    there already; else it is exported."""

    preset: Preset
    weights: str
    threads: int
    work: Path
    repeat: int = 3
    device: str = "cpu"
    bundle: Path | None = None
    delete_converted: bool = False  # of a peer, once its row is kept


def compare(
    plan: Plan,
    peers: Sequence[Peer] = tuple(PEERS.values()),
    report: Progress = lambda done, total, what: None,
    reference: Callable[[Path, Path], Measured] | None = None,
) -> list[Row]:
    """A row for each peer and, on the CPU, the last one for ours.

    A peer that fails, or lacks a library, is a row with ``error``; the next run tries it again.
    Rows: ``name``, the figures of ``rows.py``, ``load_ms`` until it could be called, ``first_ms``,
    ``convert_s``, ``convert_peak_rss_mb``, ``peak_rss_mb``, ``file_mb``, ``relative_l2`` (against
    torch in eager; only of the same network), ``preset``, ``weights``, ``threads``, ``device``,
    ``machine``, ``date``, ``versions``; ours has ``packed_mb``, ``profile``, ``bars`` and our
    kernels' ``ops``.

    ``reference`` makes ours of a bundle and a folder for packed weights.

    Raises
    ------
    OSError
        There is not enough memory or disk.
    PeerError, RuntimeError
        The weights, or ours, could not be had.
    """
    return _Comparison(plan, peers, report, reference).run()


class _Comparison:
    def __init__(
        self,
        plan: Plan,
        peers: Sequence[Peer],
        report: Progress,
        reference: Callable[[Path, Path], Measured] | None,
    ) -> None:
        self.plan, self.peers, self.report = plan, peers, report
        self.kept = Kept(plan.work, plan.preset.name)
        self.done, self.total = 0, 2 + len(peers)
        self.make_reference = reference or (
            lambda bundle, packed: Reference(bundle, packed, plan.threads, plan.repeat)
        )
        random = random_seed(plan.weights) is not None
        weights = digest_of_weights(plan.weights, random)
        self.model_key = key_of(plan.preset.to_dict(), weights, sources(SHARED))
        self.shared = self.kept.artefacts(SHARED, self._key(SHARED))
        self.ours: Measured | None = None
        # What was measured of ours last, while nothing else has run since.
        self.last: dict[str, Any] | None = None

    def run(self) -> list[Row]:
        plan = self.plan
        wanted = [peer for peer in self.peers if not peer.missing()]
        there = {p.name for p in (SHARED, OURS, *wanted) if self._converted(p) is not None}
        check_room(plan.preset, wanted, there, self.kept, plan.delete_converted)
        self._say("weights and eager PyTorch's answer")
        self._convert(SHARED)
        self.done += 1
        rows = []
        ours = self._ours() if plan.device == "cpu" else None
        self.done += 1
        for peer in self.peers:
            try:
                rows.append(self._row(peer))
            except PeerError as error:
                rows.append(self._about(peer) | {"error": str(error)})
            self.done += 1
        if ours is not None:
            rows.append({**ours, "bars": bars(rows, plan.preset.name)})
        self.report(self.total, self.total, "done")
        return rows

    def _row(self, peer: Peer) -> Row:
        plan = self.plan
        if missing := peer.missing():
            raise PeerError(missing)
        key = self._row_key(peer)
        kept = self.kept.row(peer.name, key)
        if kept is not None:
            self._say(f"{peer.name}: measured before")
            return kept
        about = self._convert(peer) if peer.converts else {}
        before = self._measure_ours("before", peer)
        self._say(f"{peer.name}: measuring")
        answer = self.kept.answer(peer.name, key)
        task, log = self._task(peer), self.kept.log(peer.name)
        try:
            found = processes.measure(peer, task, log, plan.repeat, answer)
        finally:
            self.last = None
        after = self._measure_ours("after", peer)
        row = {**self._about(peer), **times(found.pop("runs_ms"), self._gflops(peer)), **found}
        if before and after:
            row |= against_ours(row, before, after)
        row |= self._of_conversion(peer, about)
        same = self._network(peer) == plan.preset.unet
        row["relative_l2"] = relative_l2(answer, self.shared / "reference.npy") if same else None
        self.kept.keep_row(peer.name, key, row)
        if plan.delete_converted:
            self.kept.delete(peer)
        return row

    def _ours(self) -> Row:
        """Ours by itself; what the drift did to it is in the peers' rows."""
        about = self._convert(OURS)
        folder = self.kept.artefacts(OURS, self._key(OURS))
        self.ours = self.make_reference(folder / BUNDLE, self.kept.packed)
        key = self._row_key(OURS)
        kept = self.kept.row(OURS.name, key)
        if kept is not None:
            self._say("ours: measured before")
            return kept
        answer = self.kept.answer(OURS.name, key)
        self._say("ours: its answer")
        processes.measure(OURS, self._task(OURS), self.kept.log(OURS.name), 0, answer)
        self._say("ours: measuring")
        found = self.last = self.ours.measure()
        row = {**self._about(OURS), **times(found["runs_ms"], self._gflops(OURS))}
        row |= {
            name: found[name]
            for name in ("load_ms", "peak_rss_mb", "packed_mb", "ops")
            if name in found
        }
        row |= against_ours(row, found, found)
        row |= self._of_conversion(OURS, about)
        row["relative_l2"] = relative_l2(answer, self.shared / "reference.npy")
        self._say("ours: where its time goes")
        row["profile"] = self.ours.profile()
        self.kept.keep_row(OURS.name, key, row)
        return row

    def _measure_ours(self, when: str, peer: Peer) -> dict[str, Any] | None:
        if self.ours is None:
            return None
        if when == "after" or self.last is None:
            self._say(f"ours {when} {peer.name}")
            try:
                self.last = self.ours.measure()
            except RuntimeError as error:
                raise PeerError(f"{when} it, {error}") from None
        return self.last

    def _convert(self, peer: Peer) -> dict[str, Any]:
        key = self._key(peer)
        about = self._converted(peer)
        if about is None:
            self._say(f"{peer.name}: converting")
            self.last = None
            folder = self.kept.begin(peer, key)
            if peer is OURS and self.plan.bundle is not None:
                (folder / BUNDLE).symlink_to(self.plan.bundle.absolute())
                about = {}
            else:
                about = processes.convert(peer, self._task(peer), self.kept.log(peer.name))
            self.kept.finish(peer, key, about)
        return about

    def _converted(self, peer: Peer) -> dict[str, Any] | None:
        return self.kept.converted(peer, self._key(peer)) if peer.converts else {}

    def _of_conversion(self, peer: Peer, about: dict[str, Any]) -> Row:
        folder = self.kept.artefacts(peer, self._key(peer))
        size = megabytes(folder / BUNDLE, "unet.*") if peer is OURS else megabytes(folder)
        # Those that convert nothing to a file read the weights.
        row: Row = {"file_mb": size or (self.shared / "unet.safetensors").stat().st_size / 1e6}
        if "convert_s" in about:
            row["convert_s"] = about["convert_s"]
            row["convert_peak_rss_mb"] = about.get("peak_rss_mb")
        return row

    def _key(self, peer: Peer) -> str:
        """Of what was converted for a peer."""
        bundle = str(self.plan.bundle) if peer is OURS else None
        return key_of(self.model_key, peer.name, versions(peer), sources(peer), bundle)

    def _row_key(self, peer: Peer) -> str:
        ours = self.ours.key() if self.ours is not None else None
        plan = self.plan
        return key_of(self._key(peer), plan.threads, plan.repeat, plan.device, ours)

    def _task(self, peer: Peer) -> Task:
        plan = self.plan
        folder = self.kept.artefacts(peer, self._key(peer))
        task = Task(
            plan.preset.to_dict(), plan.weights, str(self.shared), str(folder), plan.threads
        )
        return task if peer is SHARED else replace(task, device=plan.device)

    def _gflops(self, peer: Peer) -> float:
        return cost(self._network(peer), self.plan.preset.latent_size).flops / 1e9

    def _network(self, peer: Peer) -> UNetConfig:
        unet = self.plan.preset.unet
        return unet.uncompressed if peer.svd else unet

    def _about(self, peer: Peer) -> Row:
        plan = self.plan
        libraries = [] if peer.missing() else list(versions(peer))
        own = self._network(peer) == plan.preset.unet or random_seed(plan.weights) is not None
        return {
            "name": peer.name,
            "preset": plan.preset.name,
            "weights": plan.weights if own else "random:0",  # Task.uncompressed
            "threads": plan.threads,
            "device": plan.device,
            **about(libraries),
        }

    def _say(self, what: str) -> None:
        self.report(self.done, self.total, what)
