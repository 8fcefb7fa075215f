"""Features of clips by the network that the project trains itself: the Fréchet digits distance.

Never FVD: that is the distance on I3D's features (evaluate/i3d.py).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..clip_batches import reduced
from .network import FRAMES, SIZE, FeatureNetwork

SHIPPED = Path(__file__).parents[2] / "weights" / "features"


class DigitsFeatures:
    """``extractor(clips [B, 14, 3, H, W] in [-1, 1])`` -> float32 [B, 128], at 64x64 pixels."""

    key, name, frames = "distance", "Fréchet digits distance", FRAMES
    real_sets = 4  # real clips cost little: their share of the distance's bias goes

    def __init__(self, folder: Path = SHIPPED) -> None:
        path = folder / "network.safetensors"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: make it with mobilevd train-features -o {folder}"
            )
        self.network = FeatureNetwork()
        try:
            self.network.load_state_dict(load_file(path))  # fp16 becomes the network's float32
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(
                f"{path} does not hold this feature network ({str(error).splitlines()[0]}): make "
                f"it again with mobilevd train-features -o {folder}"
            ) from None
        self.network.eval().requires_grad_(False)
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()

    @torch.inference_mode()
    def __call__(self, clips: torch.Tensor) -> np.ndarray:
        return self.network.features(reduced(clips, (SIZE, SIZE))).numpy()
