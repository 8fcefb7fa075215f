"""What can be wrong with a clip, each by degrees: the feature network learns to see it.

A network that only names what it sees grows blind to how well it is drawn, and would give a poor
generator the features of a good one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional as F

# (clip [F, 3, H, W], another clip, strength in (0, 1], generator) -> damaged clip
Damage = Callable[[torch.Tensor, torch.Tensor, float, torch.Generator], torch.Tensor]


def blur(
    clip: torch.Tensor, other: torch.Tensor, strength: float, generator: torch.Generator
) -> torch.Tensor:
    small = F.avg_pool2d(clip, 4)
    wide = F.interpolate(small, size=clip.shape[-2:], mode="bilinear")
    return clip.lerp(wide, strength)


def noise(
    clip: torch.Tensor, other: torch.Tensor, strength: float, generator: torch.Generator
) -> torch.Tensor:
    grain = torch.randn(clip.shape, generator=generator)
    return (clip + 0.3 * strength * grain).clamp(-1, 1)


def fade(
    clip: torch.Tensor, other: torch.Tensor, strength: float, generator: torch.Generator
) -> torch.Tensor:
    """Light goes out over the clip."""
    light = torch.linspace(1, 1 - strength, len(clip)).reshape(-1, 1, 1, 1)
    return (clip + 1) * light - 1


def freeze(
    clip: torch.Tensor, other: torch.Tensor, strength: float, generator: torch.Generator
) -> torch.Tensor:
    """The last share of the clip stands still."""
    last = round((1 - strength) * (len(clip) - 1))
    return clip[torch.arange(len(clip)).clamp(max=last)]


def jumble(
    clip: torch.Tensor, other: torch.Tensor, strength: float, generator: torch.Generator
) -> torch.Tensor:
    """A share of the frames, at least two, changes places."""
    count = max(2, round(strength * len(clip)))
    chosen = torch.randperm(len(clip), generator=generator)[:count]
    out = clip.clone()
    out[chosen] = clip[chosen.roll(1)]
    return out


def morph(
    clip: torch.Tensor, other: torch.Tensor, strength: float, generator: torch.Generator
) -> torch.Tensor:
    """The clip turns into another one."""
    share = strength * torch.linspace(0, 1, len(clip)).reshape(-1, 1, 1, 1)
    return clip + share * (other - clip)


DAMAGES: Mapping[str, Damage] = {f.__name__: f for f in (blur, noise, fade, freeze, jumble, morph)}
# Those that leave in place what the digits' labels say.
HARMLESS = ("blur", "noise")


def damaged(
    clips: torch.Tensor, generator: torch.Generator, share: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """A ``share`` of the clips [B, F, 3, H, W] with one damage each; strengths [B, kinds]."""
    out, strengths = clips.clone(), torch.zeros(len(clips), len(DAMAGES))
    hit = torch.rand(len(clips), generator=generator) < share
    kinds = torch.randint(len(DAMAGES), (len(clips),), generator=generator)
    strong = 0.1 + 0.9 * torch.rand(len(clips), generator=generator)
    for i in hit.nonzero().flatten().tolist():
        damage = list(DAMAGES.values())[int(kinds[i])]
        out[i] = damage(clips[i], clips[i - 1], float(strong[i]), generator)
        strengths[i, kinds[i]] = strong[i]
    return out, strengths
