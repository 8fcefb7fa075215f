"""How clips move, by plain statistics of their pixels, and how far two sets are apart in them.

Fréchet distances hide lost motion (MobileVD's table 2: FVD falls while JEDi rises), so this stands
beside them. It sees clips that stand still, frames out of order, clips that do not start at their
picture, and clips that all move alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

# Statistic -> the difference that does not count: a share of a clip's side, of 2 (the range of
# pixels), of the clip's light. Statistics that are all but constant are measured by it.
STATISTICS: Mapping[str, float] = {
    "change": 0.005,  # mean |frame - frame before|
    "change_unevenness": 0.005,  # its standard deviation over time
    "shift_x": 0.01,  # of the centre of light, from the picture to the last frame
    "shift_y": 0.01,
    "first_shift": 0.01,  # how far it is from the picture's in the first frame, half-way, at last
    "middle_shift": 0.01,
    "last_shift": 0.01,
    "speed": 0.002,  # mean distance it goes from frame to frame
    "jerk": 0.002,  # mean change of its velocity from frame to frame
    "spread_change": 0.01,  # of the light around its centre, from the picture to the last frame
    "light_unevenness": 0.02,  # relative standard deviation of the light over time
    "colour_unevenness": 0.005,  # of the share of red, green and blue in it
}


def _light(clips: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of [..., 3, H, W] in [-1, 1]: light [...], its centre [..., 2] and spread [...] as shares of
    the side, the colours' shares [..., 3]."""
    lit = (clips + 1) / 2
    grey = lit.mean(-3)
    height, width = grey.shape[-2:]
    y = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    x = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    columns, rows = grey.sum(-2).double(), grey.sum(-1).double()
    total = columns.sum(-1).clamp_min(1e-6)
    centre = torch.stack([(columns * x).sum(-1), (rows * y).sum(-1)], -1) / total[..., None]
    square = ((columns * x**2).sum(-1) + (rows * y**2).sum(-1)) / total
    spread = (square - centre.square().sum(-1)).clamp_min(0).sqrt()
    colours = lit.sum((-2, -1)).double()
    return total, centre, spread, colours / colours.sum(-1, keepdim=True).clamp_min(1e-6)


def motion_statistics(clips: torch.Tensor, first: torch.Tensor) -> NDArray[np.float64]:
    """[B, statistics] of clips [B, F, 3, H, W] made from pictures [B, 3, H, W], both in [-1, 1]."""
    if clips.ndim != 5 or clips.shape[1] < 3:
        raise ValueError(f"motion needs clips [B, F, 3, H, W] of 3 frames, not {clips.shape}")
    light, centre, spread, colours = _light(clips)
    _, start, start_spread, _ = _light(first)
    change = (clips[:, 1:] - clips[:, :-1]).abs().mean((2, 3, 4)).double()
    shift = centre - start[:, None]
    far = shift.norm(dim=-1)
    velocity = centre[:, 1:] - centre[:, :-1]
    found = {
        "change": change.mean(1),
        "change_unevenness": change.std(1),
        "shift_x": shift[:, -1, 0],
        "shift_y": shift[:, -1, 1],
        "first_shift": far[:, 0],
        "middle_shift": far[:, far.shape[1] // 2],
        "last_shift": far[:, -1],
        "speed": velocity.norm(dim=-1).mean(1),
        "jerk": (velocity[:, 1:] - velocity[:, :-1]).norm(dim=-1).mean(1),
        "spread_change": spread[:, -1] - start_spread,
        "light_unevenness": light.std(1) / light.mean(1),
        "colour_unevenness": colours.std(1).mean(1),
    }
    return torch.stack([found[name] for name in STATISTICS], 1).numpy()


def motion_distances(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Of each statistic, the 1-Wasserstein distance in standard deviations of the real clips."""
    from scipy.stats import wasserstein_distance

    out = {}
    for (name, small), a, b in zip(STATISTICS.items(), generated.T, real.T, strict=True):
        out[name] = float(wasserstein_distance(a, b) / np.hypot(b.std(), small))
    return out


def motion_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """The mean of :func:`motion_distances`: 0 for the same motion; clips that stand still, or all
    move alike, are about 1 away from lively ones."""
    return float(np.mean(list(motion_distances(generated, real).values())))
