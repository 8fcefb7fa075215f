"""Classifier-free guidance that grows linearly over the frames (facts: mobilevd-paper 3.1)."""

from __future__ import annotations

import copy

import torch
from torch import nn

from .conditioning import Conditioning, predict_v


def frame_guidance(start: torch.Tensor, end: torch.Tensor, frames: int) -> torch.Tensor:
    """[B, F] from ``start`` [B] at the first frame to ``end`` [B] at the last."""
    ramp = torch.linspace(0, 1, frames, device=start.device)
    return start[:, None] + (end - start)[:, None] * ramp


def with_unconditional(c: Conditioning) -> Conditioning:
    """Twice the clips: as they are, then without picture and token (zeros, as SVD has it)."""
    both = copy.copy(c)
    both.image_latents = torch.cat([c.image_latents, torch.zeros_like(c.image_latents)])
    both.token = torch.cat([c.token, torch.zeros_like(c.token)])
    both.added_time_ids = c.added_time_ids.repeat(2, 1)
    return both


def guided_v(
    unet: nn.Module,
    x: torch.Tensor,
    sigma: torch.Tensor,
    c: Conditioning,
    guidance: torch.Tensor,
) -> torch.Tensor:
    """v_u + g (v_c - v_u) with g [B, F]; both branches in one call."""
    twice = x.repeat(2, 1, 1, 1, 1)
    v, unconditional = predict_v(unet, twice, sigma.repeat(2), with_unconditional(c)).chunk(2)
    return unconditional + guidance[:, :, None, None, None] * (v - unconditional)
