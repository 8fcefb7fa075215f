"""The kernels against their peers: `mobilevd bench`, `python -m mobilevd.kernels.bench`.

measure.py says how it measures, peers.py who the peers are and how they are set up. Each kernel has
a module of its name with `KERNEL`: its shapes and, for one shape, the data, ours, and the peers'
own ways to the same result (problem.py). A new kernel is such a module and its name in
KERNEL_NAMES.
"""

from __future__ import annotations

import os
import sys

KERNEL_NAMES = ("temporal_attention", "conv2d", "temporal_conv")


def prepare_process() -> None:
    """Before torch is imported: its OpenMP threads must not spin while others are measured."""
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
