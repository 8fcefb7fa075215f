"""Whether bf16 pays: a CPU without instructions for it emulates it ten times slower than fp32."""

from __future__ import annotations

import torch


def bf16_is_native(device: str) -> bool:
    """Of ``cuda`` or ``cpu``: True on a GPU with bf16, and on a CPU with AMX or AVX512-BF16."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def autocast_where_native(device: str) -> torch.autocast:
    """A context in which convolutions and products are bf16 where that pays, fp32 elsewhere."""
    return torch.autocast(device, torch.bfloat16, enabled=bf16_is_native(device))
