"""A picture as diffusers' SVD pipeline gives it to CLIP and to the VAE, for parity with it.

The product's own preprocessing is the C++ runtime's (Pillow's antialiased bicubic for both). The
pipeline's differs: for CLIP it blurs with a Gaussian and then takes a bicubic resize with aligned
corners (kornia's); for the VAE it resizes with Lanczos.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from ..models.clip_vision import ClipVisionConfig


def picture_tensor(picture: Image.Image) -> torch.Tensor:
    """[1, 3, H, W] in [0, 1]."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def _gaussian(size: int, sigma: float) -> torch.Tensor:
    x = torch.arange(size, dtype=torch.float32) - size // 2
    weights = torch.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def resize_with_antialiasing(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[N, C, H, W] -> [N, C, height, width]: Gaussian of (factor - 1) / 2, then bicubic."""
    channels = image.shape[1]
    for axis, (have, want) in enumerate(zip(image.shape[-2:], (height, width), strict=True)):
        sigma = max((have / want - 1.0) / 2.0, 0.001)
        size = int(max(4.0 * sigma, 3)) | 1  # two sigmas each way, odd
        kernel = _gaussian(size, sigma).to(image.dtype)
        shape = (1, 1, size, 1) if axis == 0 else (1, 1, 1, size)
        half = size // 2
        pad = (0, 0, half, half) if axis == 0 else (half, half, 0, 0)
        padded = F.pad(image, pad, mode="reflect")
        image = F.conv2d(padded, kernel.view(shape).expand(channels, -1, -1, -1), groups=channels)
    return F.interpolate(image, (height, width), mode="bicubic", align_corners=True)


def clip_input(picture: Image.Image, config: ClipVisionConfig) -> torch.Tensor:
    """[1, 3, s, s], normalised, as ``StableVideoDiffusionPipeline._encode_image`` makes it.

    diffusers resizes to 224 whatever the encoder's size is; here it is the encoder's.
    """
    size = config.image_size
    image = resize_with_antialiasing(picture_tensor(picture) * 2 - 1, size, size)
    mean, std = (torch.tensor(v)[:, None, None] for v in (config.mean, config.std))
    return ((image + 1) / 2 - mean) / std


def vae_input(picture: Image.Image, height: int, width: int) -> torch.Tensor:
    """[1, 3, height, width] in [-1, 1]; Lanczos where the size differs, without cropping."""
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return picture_tensor(picture) * 2 - 1
