"""The networks: UNet, image encoder, autoencoder, at every preset's size."""

from __future__ import annotations

from .config import UNetConfig
from .diffusers_keys import from_diffusers
from .unet import UNet

__all__ = ["UNet", "UNetConfig", "create_unet", "from_diffusers"]


def create_unet(preset: str | UNetConfig) -> UNet:
    """The preset's UNet with fresh weights; see :class:`mobilevd.models.unet.UNet` for its call.

    Works under ``torch.device("meta")``. A :class:`UNetConfig` is taken too.
    """
    from ..presets import get_preset

    config = get_preset(preset).unet if isinstance(preset, str) else preset
    return UNet(config)
