"""A small UNet with everything that SVD's has, and inputs for it."""

import torch
from mobilevd.models import create_unet
from small_networks import UNET_CONFIG as CONFIG


def small_unet(config=CONFIG, seed=0):
    """Random in every parameter: norms, biases and blend weights, too; float64."""
    torch.manual_seed(seed)
    unet = create_unet(config).double().eval()
    with torch.no_grad():
        for p in unet.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return unet


def arguments(batch=1, frames=4, height=16, width=16, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)

    def rand(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return (
        rand(batch, frames, 8, height, width),
        rand(batch),
        rand(batch, 1, 24),
        torch.tensor([[6.0, 127.0, 0.02]], dtype=dtype).repeat(batch, 1),
    )
