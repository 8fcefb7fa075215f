"""The kernels as torch operators, `torch.ops.mobilevd.*`; one module each.

Importing this package registers them: a CPU implementation (the C++ kernel), a fake one (shapes
only, for torch.export and torch.compile), and gradients, but for those on packed weights.
"""

from mobilevd.kernels.torch_ops.conv import (
    conv2d_3x3,
    conv2d_3x3_out,
    temporal_conv,
    temporal_conv_out,
)
from mobilevd.kernels.torch_ops.conv_int8 import (
    conv2d_3x3_int8,
    conv2d_3x3_int8_out,
    temporal_conv_int8,
    temporal_conv_int8_out,
)
from mobilevd.kernels.torch_ops.gemm_int8 import gemm_int8, gemm_int8_out
from mobilevd.kernels.torch_ops.group_norm_silu import group_norm_silu, group_norm_silu_out
from mobilevd.kernels.torch_ops.linear import linear, linear_out
from mobilevd.kernels.torch_ops.spatial_attention import (
    spatial_attention,
    spatial_attention_out,
)
from mobilevd.kernels.torch_ops.temporal_attention import (
    temporal_attention,
    temporal_attention_out,
)
from mobilevd.kernels.torch_ops.temporal_attention_block import (
    temporal_attention_block,
    temporal_attention_block_out,
)

__all__ = [
    "conv2d_3x3",
    "conv2d_3x3_int8",
    "conv2d_3x3_int8_out",
    "conv2d_3x3_out",
    "gemm_int8",
    "gemm_int8_out",
    "group_norm_silu",
    "group_norm_silu_out",
    "linear",
    "linear_out",
    "spatial_attention",
    "spatial_attention_out",
    "temporal_attention",
    "temporal_attention_block",
    "temporal_attention_block_out",
    "temporal_attention_out",
    "temporal_conv",
    "temporal_conv_int8",
    "temporal_conv_int8_out",
    "temporal_conv_out",
]
