"""Whether there is memory and disk for a comparison, asked before its hours."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...export.room import require_disk, require_memory
from ...models import create_unet
from ...models.config import UNetConfig
from ...presets import Preset
from .kept import Kept
from .peer import OURS, SHARED, Peer

# Peak memory over the float32 weights of the network that the peer runs, beside _BASE_BYTES: the
# higher of converting and running at mobilevd-512x256 (results/full-size), and some more.
_PEAK = {
    "shared": 1.5,
    "ours": 2.3,
    "diffusers-svd": 1.4,
    "torch-eager": 1.5,
    "torch-compile": 1.5,
    "onnxruntime": 2.6,
    "openvino": 2.1,
    "executorch-xnnpack": 2.5,
}
_BASE_BYTES = 1 << 30
# Copies of its network's weights that stay in the work folder.
_COPIES = {"torch-eager": 0.0, "torch-compile": 0.0, "ours": 2.8}


def check_room(
    preset: Preset, peers: Sequence[Peer], converted: set[str], kept: Kept, delete_converted: bool
) -> None:
    """OSError, one line, if it cannot end well here; ``converted`` need no more disk.

    ``delete_converted``: what was converted for a peer is deleted before the next.
    """
    ours, svd = _weight_bytes(preset.unet), _weight_bytes(preset.unet.uncompressed)
    all_of_them = (SHARED, OURS, *peers)

    def size(peer: Peer) -> int:
        return svd if peer.svd else ours

    need = {p.name: int(_PEAK.get(p.name, 2.5) * size(p)) + _BASE_BYTES for p in all_of_them}
    largest = max(need, key=lambda name: need[name])
    without = "" if largest in (SHARED.name, OURS.name) else " (--only leaves it out)"
    require_memory(f"{largest}{without} at {preset.name}", need[largest])
    new = [p for p in all_of_them if p.name not in converted]
    disk = {p.name: int(_COPIES.get(p.name, 1.1) * size(p)) - kept.bytes_of(p) for p in new}
    always = sum(disk.pop(p.name, 0) for p in (SHARED, OURS))
    of_peers = max(disk.values(), default=0) if delete_converted else sum(disk.values())
    require_disk(
        f"what is converted for the peers of {preset.name}", always + of_peers, kept.folder / "rows"
    )


def _weight_bytes(config: UNetConfig) -> int:
    with torch.device("meta"):
        return 4 * sum(p.numel() for p in create_unet(config).parameters())
