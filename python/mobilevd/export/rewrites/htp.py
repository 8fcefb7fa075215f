"""What Qualcomm's HTP needs beside the other backends' rewrites."""

from __future__ import annotations

import torch
from torch import nn

from ...models.attention import SelfAttention, temporal_attention
from ...models.layout import frames_at

# Matrices of one batched product. QNN 2.47's compiler takes seconds for some hundred matrices of 14
# by 14, and did not end within minutes for the 10240 of 2048 positions and five heads.
MOST_MATRICES = 512
GROUP = 16  # columns (positions and heads) that become one matrix above that
# What softmax turns into exactly 0 in float32 and in fp16.
MASKED = -1e4


class HtpTemporalAttention(nn.Module):
    """Attention over the frames as bmm, softmax, bmm of three dimensions throughout.

    Where there are many columns, ``GROUP`` of them share one matrix [GROUP * F, GROUP * F] in which
    everything outside the diagonal's blocks is masked: the same function with fewer, larger
    products. ``mask`` is made for the first number of frames it meets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mask: torch.Tensor | None = None

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_heads: int, scale: float
    ) -> torch.Tensor:
        batch, frames, positions, _ = q.shape
        columns = batch * positions * num_heads
        grouped = columns > MOST_MATRICES and columns % GROUP == 0
        rows = frames * (GROUP if grouped else 1)

        def split(x: torch.Tensor) -> torch.Tensor:  # [B, F, S, C] -> [matrices, rows, d]
            x = x.view(batch, frames, positions * num_heads, x.shape[3] // num_heads)
            return x.transpose(1, 2).reshape(columns * frames // rows, rows, x.shape[3])

        scores = torch.bmm(split(q) * scale, split(k).transpose(1, 2))
        if grouped:
            scores = scores + self._mask_of(frames, scores)
        out = torch.bmm(torch.softmax(scores, dim=-1), split(v))
        out = out.view(batch, positions * num_heads, frames, -1).transpose(1, 2)
        return out.reshape(batch, frames, positions, -1)

    def _mask_of(self, frames: int, like: torch.Tensor) -> torch.Tensor:
        if self.mask is None or self.mask.shape[1] != GROUP * frames:
            raise ValueError(f"no mask was made for {frames} frames: make_mask")
        return self.mask.to(like.dtype) if self.mask.dtype != like.dtype else self.mask

    def make_mask(self, frames: int) -> None:
        outside = torch.block_diag(*[torch.ones(frames, frames)] * GROUP) == 0
        del self.mask
        self.register_buffer("mask", (outside * MASKED)[None])


def write_out_temporal_attention_for_htp(network: nn.Module) -> None:
    """HTP has neither our kernel nor five dimensions, which splitting the heads off would take.

    A UNet says how many frames each of its attentions sees; for a block by itself the caller does.
    """
    config = getattr(network, "config", None)
    for path, module in list(network.named_modules()):
        if isinstance(module, SelfAttention) and module.core is temporal_attention:
            del module.core
            module.core = core = HtpTemporalAttention()
            if config is not None:
                core.make_mask(frames_at(config, path))
