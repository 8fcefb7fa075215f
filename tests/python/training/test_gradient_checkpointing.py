"""Checkpointed blocks compute the same values and gradients, and keep less."""

import torch
from mobilevd.models.config import UNetConfig
from mobilevd.models.unet import UNet
from mobilevd.training.gradient_checkpointing import checkpoint_blocks

CONFIG = UNetConfig(
    block_out_channels=(32, 32),
    attention_levels=(True, False),
    layers_per_block=1,
    num_attention_heads=(1, 1),
    cross_attention_dim=8,
    addition_time_embed_dim=8,
    num_frames=4,
)


def gradients(unet, inputs):
    """Output, gradients, and the bytes that the graph kept for the way back."""
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = unet(*inputs)
    out.square().mean().backward()
    return out, [p.grad.clone() for p in unet.parameters() if p.grad is not None], kept


def test_same_gradients_with_less_kept():
    torch.manual_seed(0)
    unet = UNet(CONFIG).double()
    inputs = [
        torch.randn(shape, dtype=torch.float64)
        for shape in ((2, 4, 8, 8, 8), (2,), (2, 1, 8), (2, 3))
    ]
    out, plain, kept_plain = gradients(unet, inputs)
    unet.zero_grad(set_to_none=True)
    assert checkpoint_blocks(unet) == 12
    again, checkpointed, kept = gradients(unet, inputs)
    assert torch.equal(out, again)
    assert len(plain) == len(checkpointed)
    assert all(torch.equal(a, b) for a, b in zip(plain, checkpointed, strict=True))
    assert kept < kept_plain / 2
