"""What the process of a peer is told, and what it answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from ...export.stages import UNetStage
    from ...models.parts import Promised
    from ...presets import Preset

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """One evaluation of a preset's UNet at batch 1, in float32.

    ``preset`` is its ``to_dict``; ``weights`` is ``random:SEED`` or a model folder. ``shared`` is
    the folder of ``shared.py``, ``folder`` the peer's own.
    """

    preset: dict[str, Any]
    weights: str
    shared: str
    folder: str
    threads: int
    device: str = "cpu"

    @property
    def own(self) -> Path:
        return Path(self.folder)

    def inputs(self) -> dict[str, Array]:
        """By the names of ``export.stages.unet_inputs``, in their order."""
        with np.load(Path(self.shared) / "inputs.npz") as arrays:
            return {name: arrays[name] for name in arrays.files}

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The same on the device."""
        import torch

        return tuple(torch.from_numpy(x).to(self.device) for x in self.inputs().values())

    def weights_file(self) -> Path:
        return Path(self.shared) / "unet.safetensors"

    def stage(self) -> UNetStage:
        """MobileVD's UNet as the runtime calls it, without any rewrite, in eager PyTorch."""
        import torch

        from ...export.stages import UNetStage
        from ...models import create_unet
        from ...models.store import load_network

        with torch.device("meta"):
            unet = create_unet(self._preset().unet)
        load_network(unet, self.weights_file())
        return UNetStage(unet.requires_grad_(False)).to(self.device).eval()

    def model(self) -> Promised:
        from ...models.parts import open_model, random_model, random_seed

        seed = random_seed(self.weights)
        return open_model(self.weights) if seed is None else random_model(self._preset(), seed)

    def uncompressed(self) -> Promised:
        """Before MobileVD's steps. A compressed folder does not hold those weights: random ones
        take the same time."""
        from ...models.parts import random_model, random_seed

        preset = self._preset()
        if preset.unet == preset.unet.uncompressed:
            return self.model()
        svd = replace(preset, unet=preset.unet.uncompressed)
        return random_model(svd, random_seed(self.weights) or 0)

    def _preset(self) -> Preset:
        from ...presets import Preset

        return Preset.from_dict(self.preset)


@dataclass(frozen=True)
class Running:
    """A loaded peer: ``evaluate`` is what is timed; ``array`` makes float32 [1, F, C, h, w] of its
    result."""

    evaluate: Callable[[], Any]
    array: Callable[[Any], Array] = np.asarray
