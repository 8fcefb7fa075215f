"""Channels last from the first convolution to the last, for our own kernels.

Convolutions go to ``mobilevd::conv2d_3x3`` and ``temporal_conv``, norms to ``group_norm_silu``.
XNNPACK's convolutions took more than half of the UNet's time at 512x256
(``make full-size-bench``).
"""

from __future__ import annotations

from torch import nn

from ....models.svd_vae import SvdDecoder, SvdEncoder
from ....models.tiny_vae import TinyDecoder, TinyEncoder
from ....models.unet import UNet
from .svd_vae import put_svd_vae_channels_last
from .tiny_vae import put_tiny_vae_channels_last
from .unet import put_unet_channels_last


def put_channels_last(network: nn.Module) -> None:
    """The UNet, or an encoder or decoder; in float32; ``HalfStage`` takes it to float16,
    ``quantized`` to integers."""
    from ....kernels import torch_ops  # noqa: F401  (registers the ops)

    if isinstance(network, UNet):
        put_unet_channels_last(network)
    elif isinstance(network, TinyEncoder | TinyDecoder):
        put_tiny_vae_channels_last(network)
    else:
        assert isinstance(network, SvdEncoder | SvdDecoder)
        put_svd_vae_channels_last(network)
