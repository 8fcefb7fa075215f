"""The C++ kernels, on numpy arrays and torch CPU tensors, without a copy.

`torch` is imported only when a tensor is passed. The same kernels are torch operators,
`torch.ops.mobilevd.*`, once `mobilevd.kernels.torch_ops` is imported.
"""

from __future__ import annotations

from mobilevd import _kernels
from mobilevd._kernels import available_isas, isa, set_isa
from mobilevd.kernels._conv import conv2d_3x3, pack_conv_weight, temporal_conv
from mobilevd.kernels._conv_int8 import conv2d_3x3_int8, pack_conv_int8, temporal_conv_int8
from mobilevd.kernels._gemm_int8 import gemm_int8, pack_gemm_int8
from mobilevd.kernels._group_norm_silu import group_norm_silu
from mobilevd.kernels._linear import linear, pack_linear_weight
from mobilevd.kernels._spatial_attention import spatial_attention
from mobilevd.kernels._temporal_attention import temporal_attention
from mobilevd.kernels._temporal_attention_block import (
    PackedTemporalAttentionBlock,
    pack_temporal_attention_block,
    temporal_attention_block,
)

__all__ = [
    "PackedTemporalAttentionBlock",
    "available_isas",
    "conv2d_3x3",
    "conv2d_3x3_int8",
    "gemm_int8",
    "get_num_threads",
    "group_norm_silu",
    "isa",
    "linear",
    "pack_conv_int8",
    "pack_conv_weight",
    "pack_gemm_int8",
    "pack_linear_weight",
    "pack_temporal_attention_block",
    "set_isa",
    "set_num_threads",
    "spatial_attention",
    "temporal_attention",
    "temporal_attention_block",
    "temporal_conv",
    "temporal_conv_int8",
]


def get_num_threads() -> int:
    """Threads that one kernel call uses; at first, the CPUs this process may use."""
    return _kernels.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Set how many threads (1..1024) one kernel call uses. Results do not depend on it."""
    _kernels.set_num_threads(threads)
