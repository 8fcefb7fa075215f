"""Whether there is memory and disk for an export, asked before its hours."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import nn

from ..models.store import empty_model
from ..presets import Preset
from .flavour import Flavour

# Peak memory of exporting a stage over its float32 weights, measured at mobilevd-512x256
# (results/full-size, results/vulkan), and what Python and torch take without any.
_PEAK = {"xnnpack": 2.3, "vulkan": 3.3, "qnn": 3.3}
_BASE_BYTES = 700 << 20
# For XNNPACK in fewer bits, what is made of the weights besides; by arithmetic, not measured.
_BESIDE = {"fp16": 0.5, "int8": 0.25}


def stage_bytes(preset: Preset) -> dict[str, int]:
    """Float32 weights of each stage."""
    model = empty_model(preset)
    networks: dict[str, nn.Module] = {
        "image_encoder": model.image_encoder,
        "vae_encoder": model.vae.encoder,
        "unet": model.unet,
        "vae_decoder": model.vae.decoder,
    }
    return {n: sum(4 * p.numel() for p in net.parameters()) for n, net in networks.items()}


def available_memory() -> int | None:
    """What the kernel could hand out without swapping; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def check_room(preset: Preset, flavour: Flavour, output: Path) -> None:
    """OSError, one line, if an export of that preset cannot end well here."""
    stages = stage_bytes(preset)
    largest = max(stages, key=lambda name: stages[name])
    beside = _BESIDE.get(flavour.precision, 0) if flavour.backend == "xnnpack" else 0
    memory = int((_PEAK[flavour.backend] + beside) * stages[largest]) + _BASE_BYTES
    if flavour.quantized:  # clips are made to calibrate on, by all networks
        memory = max(memory, sum(stages.values()) + _BASE_BYTES)
    require_memory(f"exporting {largest} of {preset.name}", memory)
    # The bundle, and the largest stage's weights once more on the way.
    disk = sum(stages.values()) + stages[largest] + (64 << 20)
    require_disk(f"the bundle of {preset.name}", disk, output)


def require_memory(what: str, needed: int) -> None:
    """OSError, one line, if fewer bytes than that are available."""
    available = available_memory()
    if available is not None and needed > available:
        raise OSError(
            f"{what} takes about {_gb(needed)} of memory, and {_gb(available)} are available"
        )


def require_disk(what: str, needed: int, output: Path) -> None:
    """The same where ``output``, which need not be there yet, is to be written."""
    folder = next(p for p in output.absolute().parents if p.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{what} takes about {_gb(needed)} of disk while it is written, and {folder} has "
            f"{_gb(free)} free"
        )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
