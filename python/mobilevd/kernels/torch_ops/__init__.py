"""The kernels as torch operators, `torch.ops.mobilevd.*`; one module each.

Importing this package registers them: a CPU implementation (the C++ kernel), a fake one (shapes
only, for torch.export and torch.compile), and gradients.
"""

from mobilevd.kernels.torch_ops.group_norm_silu import group_norm_silu, group_norm_silu_out
from mobilevd.kernels.torch_ops.temporal_attention import (
    temporal_attention,
    temporal_attention_out,
)

__all__ = [
    "group_norm_silu",
    "group_norm_silu_out",
    "temporal_attention",
    "temporal_attention_out",
]
