"""The kernels against their peers: `mobilevd bench`, `python -m mobilevd.kernels.bench`.

measure.py says how it measures, peers.py who the peers are and how they are set up. Each kernel has
a module of its name with `KERNEL`: its shapes and, for one shape, the data, ours, and the peers'
own ways to the same result (problem.py). A new kernel is such a module and its name in
KERNEL_NAMES.
"""

from __future__ import annotations

import os
import sys

KERNEL_NAMES = (
    "temporal_attention",
    "temporal_attention_block",
    "spatial_attention",
    "group_norm_silu",
    "linear",
    "conv2d",
    "conv2d_int8",
    "temporal_conv",
)


def spinning_threads_warning() -> str:
    """ "" when torch's idle OpenMP threads will not spin on the cores of whoever is measured next;
    to be called before torch is imported, for it then sees to it."""
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive":
        return ""
    if "torch" in sys.modules:
        return "torch's idle threads spin and slow the others: set OMP_WAIT_POLICY=passive"
    os.environ["OMP_WAIT_POLICY"] = "passive"
    return ""
