"""What every step shares: a new UNet for a new configuration, with the weights carried over."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..models.config import UNetConfig
from ..models.unet import UNet


def rebuild(
    unet: UNet, config: UNetConfig, changed: Mapping[str, torch.Tensor] | None = None
) -> UNet:
    """A UNet of ``config`` that shares the parameters of ``unet``, except the ``changed`` ones.

    Parameters that the new configuration does not have are left behind. The mode (training or
    evaluation) stays.
    """
    with torch.device("meta"):
        new = UNet(config)
    state = dict(unet.state_dict(keep_vars=True))
    for key, value in (changed or {}).items():
        state[key] = nn.Parameter(value.contiguous())
    new.load_state_dict({k: state[k] for k in new.state_dict()}, assign=True)
    return new.train(unet.training)
