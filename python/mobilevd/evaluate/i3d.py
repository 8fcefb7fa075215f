"""Features for the real FVD, by I3D weights that the user gives (none can be had here).

Taken: the TorchScript file that StyleGAN-V's authors ship (``i3d_torchscript.pt``, Kinetics-400,
400 numbers before the softmax), or any of the same interface; or a ``torch.export`` file (``.pt2``)
of clips [B, 3, F, 224, 224] in [-1, 1]. Neither is unpickled; both hold code that is run, so take
them from a place you trust.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ..training.data import Size

# SF-V's protocol (4.2): outputs at 320x240 first. I3D's own input follows, as in AnimateLCM's code.
OUTPUT_SIZE: Size = (240, 320)
I3D_SIZE: Size = (224, 224)
CLIPS = 2048  # of each set, facts 2.7


class I3dFeatures:
    """``extractor(clips [B, F, 3, H, W] in [-1, 1])`` -> float32 [B, D]."""

    key, name, frames = "fvd", "Fréchet video distance", None
    real_sets = 1

    def __init__(self, path: Path, device: str = "cpu") -> None:
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}: --features takes I3D's TorchScript (.pt)")
        self.device = device
        self.network = _loaded(path, device)
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()

    @torch.inference_mode()
    def __call__(self, clips: torch.Tensor) -> np.ndarray:
        x = clips.flatten(0, 1).to(self.device)
        for size in (OUTPUT_SIZE, I3D_SIZE):
            x = F.interpolate(x, size, mode="bilinear", antialias=size == OUTPUT_SIZE)
        features = self.network(x.unflatten(0, clips.shape[:2]).transpose(1, 2).contiguous())
        if features.ndim != 2 or len(features) != len(clips):
            raise ValueError(
                f"the feature file gives {tuple(features.shape)} for {len(clips)} clips: "
                "wanted is one row of features per clip"
            )
        return features.float().cpu().numpy()


def _loaded(path: Path, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    try:
        if path.suffix == ".pt2":
            exported = torch.export.load(path).module()
            return exported.to(device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, but it is what is shipped
            scripted = torch.jit.load(str(path), map_location=device).eval()
    except Exception as error:  # the loaders raise what they like
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"{path} is no TorchScript or .pt2 file ({reason[0] if reason else error!r}): "
            "a plain state dict will not do"
        ) from None
    # Rescaling and resizing are done; the features are those before the softmax.
    return lambda x: scripted(x, rescale=False, resize=False, return_features=True)
