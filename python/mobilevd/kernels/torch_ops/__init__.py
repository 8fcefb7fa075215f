"""The kernels as torch operators, `torch.ops.mobilevd.*`; one module each.

Importing this package registers them: a CPU implementation (the C++ kernel), a fake one (shapes
only, for torch.export and torch.compile), and gradients where a kernel has them.
"""

from mobilevd.kernels.torch_ops.conv import (
    conv2d_3x3,
    conv2d_3x3_out,
    temporal_conv,
    temporal_conv_out,
)
from mobilevd.kernels.torch_ops.linear import linear, linear_out
from mobilevd.kernels.torch_ops.temporal_attention import (
    temporal_attention,
    temporal_attention_out,
)

__all__ = [
    "conv2d_3x3",
    "conv2d_3x3_out",
    "linear",
    "linear_out",
    "temporal_attention",
    "temporal_attention_out",
    "temporal_conv",
    "temporal_conv_out",
]
