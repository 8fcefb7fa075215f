"""Temporal block pruning (MobileVD 3.5): really deleting temporal blocks.

Which ones go is learned by :mod:`mobilevd.compress.importance`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..models.plan import with_temporal_blocks
from ..models.unet import UNet
from .rebuild import rebuild


def prune_temporal_blocks(unet: UNet, keep: Sequence[str]) -> UNet:
    """A UNet with the temporal blocks ``keep`` only; shares the remaining parameters.

    A pruned block leaves the spatial path as it was (blend weight 1): the temporal ResBlock or
    the temporal transformer, its blend and its position embedding do not exist any more.
    """
    return rebuild(unet, with_temporal_blocks(unet.config, keep))
