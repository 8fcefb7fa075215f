"""Multiscaling: the wiring against one written out by hand, odd frames, export-friendly nodes."""

import pytest
import torch
from mobilevd.compress.multiscaling import add_spatial_multiscaling, add_temporal_multiscaling
from mobilevd.models import UNetConfig, create_unet
from mobilevd.models.layout import frames_at
from mobilevd.models.multiscale import halve_frames, repeat_frames
from small_unets import CONFIG, arguments, small_unet
from torch.nn import functional as F


def by_hand(unet, args, operator, spatial):
    """The UNet's forward with the scale changes where the paper puts them, in plain indexing."""
    sample, _, context, _ = args
    b, f = sample.shape[:2]
    seen = {}
    hooks = [
        unet.time_embedding.register_forward_hook(lambda m, i, o: seen.update(time=o)),
        unet.add_embedding.register_forward_hook(lambda m, i, o: seen.update(added=o)),
    ]
    unet(*args)
    for hook in hooks:
        hook.remove()
    time = F.silu(seen["time"] + seen["added"])
    inside = f // 2 if operator else f
    skips = [unet.conv_in(sample.flatten(0, 1))]
    skips += unet.down_blocks[0](skips[-1], time, context, f)
    x = skips[-1]
    if operator:
        x = x.unflatten(0, (b, f))
        x = x[:, ::2] if operator == "frame_selection" else (x[:, ::2] + x[:, 1::2]) / 2
        x = x.flatten(0, 1)
    if spatial:
        x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    skips[-1] = x
    for block in unet.down_blocks[1:]:
        skips += block(skips[-1], time, context, inside)
    x = unet.mid_block(skips[-1], time, context, inside)
    for block in unet.up_blocks[:-2]:
        x = block(x, skips, time, context, inside)
    block = unet.up_blocks[-2]
    for i in range(len(block.resnets)):
        x = block.layer(i, torch.cat([x, skips.pop()], 1), time, context, inside)
    scale = 4 if spatial else 2
    x = x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    x = F.conv2d(x, block.upsampler.weight, block.upsampler.bias, padding=1)
    if operator:
        x = x.repeat_interleave(2, 0)
    x = unet.up_blocks[-1](x, skips, time, context, f)
    assert not skips
    x = unet.conv_out(F.silu(unet.conv_norm_out(x)))
    return x.unflatten(0, (b, f))


@pytest.mark.parametrize("operator", ["frame_selection", "mean", None])
@pytest.mark.parametrize("spatial", [False, True])
@torch.no_grad()
def test_wiring(operator, spatial):
    unet = small_unet()
    args = arguments(batch=2)
    want = by_hand(unet, args, operator, spatial)
    if operator:
        unet = add_temporal_multiscaling(unet, 2, operator)
    if spatial:
        unet = add_spatial_multiscaling(unet)
    torch.testing.assert_close(unet(*args), want, rtol=1e-10, atol=1e-10)
    again = create_unet(UNetConfig.from_dict(unet.config.to_dict())).double()
    again.load_state_dict(unet.state_dict())
    assert torch.equal(again(*args), unet(*args))


def test_operators():
    x = torch.arange(8.0).view(4, 2, 1, 1)
    assert halve_frames(x, 2, "frame_selection").flatten().tolist() == [0, 1, 4, 5]
    assert halve_frames(x, 2, "mean").flatten().tolist() == [1, 2, 5, 6]
    assert repeat_frames(x[:2], 2).flatten().tolist() == [0, 1, 0, 1, 2, 3, 2, 3]


def test_frames_inside():
    unet = add_temporal_multiscaling(small_unet())
    assert frames_at(unet.config, "down_blocks.0.attentions.0.time_pos_embed") == 4
    assert frames_at(unet.config, "down_blocks.1.attentions.0.time_pos_embed") == 2
    assert frames_at(unet.config, "mid_block.attentions.0.time_pos_embed") == 2
    assert frames_at(unet.config, "up_blocks.3.attentions.0.time_pos_embed") == 4
    assert frames_at(unet.config, "conv_in") == 4


def test_bad_input():
    unet = add_temporal_multiscaling(small_unet())
    with pytest.raises(ValueError, match="3 frames are odd"):
        unet(*arguments(frames=3))
    with pytest.raises(ValueError, match="5 frames are odd"):
        UNetConfig(num_frames=5, temporal_factor=2)
    with pytest.raises(ValueError, match="already"):
        add_temporal_multiscaling(unet)
    with pytest.raises(ValueError, match="must be 2, not 3"):
        add_temporal_multiscaling(small_unet(), 3)
    with pytest.raises(ValueError, match="unknown operator 'median'; known: frame_selection, mean"):
        add_temporal_multiscaling(small_unet(), operator="median")
    with pytest.raises(ValueError, match="latents that 16 divides, not 24x16"):
        add_spatial_multiscaling(small_unet())(*arguments(height=24))
    assert CONFIG.temporal_factor == 1
