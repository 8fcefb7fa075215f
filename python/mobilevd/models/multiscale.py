"""Changes of scale inside the UNet (MobileVD 3.3), written with views and static shapes.

Features are [B*F, C, H, W], or [B*F, H, W, C] (``channels_last``), with the frames of a clip side
by side, so that neighbouring frames of an even F are neighbours in the first dimension whatever B
is.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .config import UNetConfig


def enter_coarse_scale(
    x: torch.Tensor, config: UNetConfig, channels_last: bool = False
) -> torch.Tensor:
    """After the first down block: fewer frames, then fewer positions."""
    if config.temporal_factor > 1:
        x = halve_frames(x, config.temporal_factor, config.temporal_operator)
    if config.spatial_factor > 1:
        if channels_last:
            x = x.permute(0, 3, 1, 2)
        h, w = x.shape[2:]
        # Each level halves, rounding up on the way down and doubling on the way up.
        config.check_latents(2 * h, 2 * w)
        x = F.avg_pool2d(x, config.spatial_factor)
        if channels_last:
            x = x.permute(0, 2, 3, 1).contiguous()
    return x


def leave_coarse_scale(x: torch.Tensor, config: UNetConfig) -> torch.Tensor:
    """Before the last up block: the nearest frame (positions: see the upsampler's ``scale``)."""
    return repeat_frames(x, config.temporal_factor) if config.temporal_factor > 1 else x


def halve_frames(x: torch.Tensor, factor: int, operator: str) -> torch.Tensor:
    """[N, ., ., .] -> [N / factor, ., ., .]: every factor-th frame, or the mean of each group."""
    n, a, b, c = x.shape
    if operator == "frame_selection":
        # contiguous() said aloud: see resblock.py.
        return x.reshape(n // factor, factor * a, b, c)[:, :a].contiguous()
    return x.reshape(n // factor, factor, a * b * c).mean(1).view(n // factor, a, b, c)


def repeat_frames(x: torch.Tensor, factor: int) -> torch.Tensor:
    """[N, ., ., .] -> [N * factor, ., ., .]: each frame ``factor`` times (nearest in time).

    A concatenation of channels, or rows, seen as frames: one node, no dimension beyond four.
    """
    n, a, b, c = x.shape
    return torch.cat([x] * factor, dim=1).view(n * factor, a, b, c)
