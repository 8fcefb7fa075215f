"""Checkpointed blocks compute the same values and gradients, and keep less."""

import torch
from mobilevd.models.unet import UNet
from mobilevd.training.gradient_checkpointing import checkpoint_blocks
from small_models import SHALLOW


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
    unet = UNet(SHALLOW.unet).double()
    inputs = [
        torch.randn(shape, dtype=torch.float64)
        for shape in ((2, 4, 8, 8, 8), (2,), (2, 1, 24), (2, 3))
    ]
    out, plain, kept_plain = gradients(unet, inputs)
    unet.zero_grad(set_to_none=True)
    assert checkpoint_blocks(unet) == 12
    again, checkpointed, kept = gradients(unet, inputs)
    assert torch.equal(out, again)
    assert len(plain) == len(checkpointed)
    assert all(torch.equal(a, b) for a, b in zip(plain, checkpointed, strict=True))
    assert kept < kept_plain / 2
