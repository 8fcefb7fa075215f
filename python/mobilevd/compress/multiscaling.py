"""Multiscaling (MobileVD 3.3, Table 3): the inside of the UNet at half the frames or positions.

Temporal: right after the first down block's spatial downsampler the frames are halved, and the
halved features are what the skip connection stores, too; right before the last up block, after the
spatial upsampler of the one before, each frame is repeated. Position embeddings, temporal attention
and ResBlocks inside see half the frames. No weight is added or changed: finetune afterwards.

Spatial (Table 3): 2 x 2 positions are averaged in the first of these places; on the way back the
upsampler before the last up block interpolates x4 instead of x2, ahead of its convolution. The
paper does not say where it put its own: this placement counts 4.20 TFLOPs, 3.45 with the temporal
one, against the paper's 4.35 and 3.39. Interpolating behind that convolution would count 4.04 and
3.37.
"""

from __future__ import annotations

from dataclasses import replace

from ..models.unet import UNet
from .rebuild import rebuild


def add_temporal_multiscaling(
    unet: UNet, factor: int = 2, operator: str = "frame_selection"
) -> UNet:
    """The UNet with 1 / ``factor`` of the frames inside; shares its parameters.

    ``operator`` is "frame_selection" (every second frame) or "mean" (of neighbours): the paper
    does not name its own, and neither needs new weights. ValueError where the configured frames
    are odd, the factor is not 2, or the step was applied before.
    """
    if unet.config.temporal_factor != 1:
        raise ValueError("temporal multiscaling is there already")
    if factor != 2:
        raise ValueError(f"the factor of temporal multiscaling must be 2, not {factor}")
    config = replace(unet.config, temporal_factor=factor, temporal_operator=operator)
    return rebuild(unet, config)


def add_spatial_multiscaling(unet: UNet, factor: int = 2) -> UNet:
    """The UNet with 1 / ``factor`` of the rows and columns inside; shares its parameters."""
    if unet.config.spatial_factor != 1:
        raise ValueError("spatial multiscaling is there already")
    if factor != 2:
        raise ValueError(f"the factor of spatial multiscaling must be 2, not {factor}")
    return rebuild(unet, replace(unet.config, spatial_factor=factor))
