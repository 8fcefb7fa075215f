"""Every step on one small model: saved, reloaded in a fresh process, exported."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from mobilevd.compress.cross_attention import collapse_cross_attention
from mobilevd.compress.funnels import add_funnels, merge_funnels
from mobilevd.compress.importance import TemporalBlockPruner
from mobilevd.compress.multiscaling import add_spatial_multiscaling, add_temporal_multiscaling
from mobilevd.compress.recipe import compress_to
from mobilevd.export.rewrites import prepare
from mobilevd.models import UNetConfig
from mobilevd.models.embeddings import sinusoid
from mobilevd.models.steps import Steps
from mobilevd.presets import get_preset
from safetensors.torch import load_file, save_file
from small_networks import UNET
from small_unets import CONFIG, arguments, small_unet

RELOAD = """
import json, sys
import torch
from mobilevd.models import UNetConfig, create_unet
from safetensors.torch import load_file, save_file
folder = sys.argv[1]
unet = create_unet(UNetConfig.from_dict(json.load(open(folder + "/config.json"))))
unet.double().load_state_dict(load_file(folder + "/unet.safetensors"))
args = load_file(folder + "/inputs.safetensors")
with torch.no_grad():
    out = unet.eval()(*(args[k] for k in sorted(args)))
save_file({"out": out}, folder + "/out.safetensors")
assert not [m for m in sys.modules if m.startswith("mobilevd.compress")]
"""


def compressed(operator="frame_selection", spatial=True):
    """All steps, unmerged; the widths are those of the kernels (multiples of 8 per head)."""
    unet = collapse_cross_attention(small_unet())
    unet = add_temporal_multiscaling(unet, operator=operator)
    if spatial:
        unet = add_spatial_multiscaling(unet)
    pruner = TemporalBlockPruner(unet, 9)
    with torch.no_grad():
        pruner.importance.copy_(torch.randn(24, generator=torch.Generator().manual_seed(2)))
    unet = pruner.keep_top()
    return add_funnels(unet, 0.5, ("spatial", "temporal", "convolutions"))


@torch.no_grad()
def test_reload_in_a_fresh_process(tmp_path):
    unet = compressed()
    args = arguments()
    merged = merge_funnels(unet)
    torch.testing.assert_close(merged(*args), unet(*args), rtol=1e-9, atol=1e-9)
    (tmp_path / "config.json").write_text(json.dumps(merged.config.to_dict()))
    save_file(dict(merged.state_dict()), tmp_path / "unet.safetensors")
    save_file({str(i): a.contiguous() for i, a in enumerate(args)}, tmp_path / "inputs.safetensors")
    subprocess.run([sys.executable, "-c", RELOAD, str(tmp_path)], check=True, timeout=300)
    got = load_file(tmp_path / "out.safetensors")["out"]
    torch.testing.assert_close(got, merged(*args), rtol=1e-12, atol=1e-12)
    assert UNetConfig.from_dict(merged.config.to_dict()) == merged.config
    assert len(merged.config.temporal_blocks) == 9


class Sinusoids(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, *args):
        return self.unet.forward_sinusoids(*args)


@pytest.mark.parametrize("operator", ["frame_selection", "mean"])
@torch.no_grad()
def test_export(operator):
    unet = compressed(operator).float()
    sample, timestep, context, ids = (a.float() for a in arguments())
    args = (
        sample,
        sinusoid(timestep, CONFIG.block_out_channels[0]),
        context,
        sinusoid(ids.flatten(), CONFIG.addition_time_embed_dim).reshape(1, -1),
    )
    want = unet(sample, timestep, context, ids)
    prepared = prepare(unet, "xnnpack")
    assert not prepared.config.unmerged_funnels
    torch.testing.assert_close(prepared.forward_sinusoids(*args), want, rtol=1e-4, atol=5e-5)
    exported = torch.export.export(Sinusoids(prepared), args)
    torch.testing.assert_close(exported.module()(*args), want, rtol=1e-4, atol=5e-5)
    targets = [str(n.target) for n in exported.graph.nodes]
    transformers = [p for p in unet.config.temporal_blocks if "transformer" in p]
    assert targets.count("mobilevd.temporal_attention.default") == len(transformers) > 0
    assert not any("scaled_dot_product" in t or "repeat_interleave" in t for t in targets)


@torch.no_grad()
def test_recipe_leads_to_a_configuration():
    args = arguments()
    merged = merge_funnels(compressed())
    got = compress_to(small_unet(), merged.config)
    assert got.config == merged.config
    torch.testing.assert_close(got(*args), merged(*args), rtol=1e-9, atol=1e-9)
    assert compress_to(got, merged.config).config == merged.config  # nothing left to do
    unmerged = compressed().config
    assert compress_to(small_unet(), unmerged).config == unmerged
    with pytest.raises(ValueError, match="cross_attention_dim differ"):
        compress_to(small_unet(), replace(merged.config, cross_attention_dim=32))


@pytest.mark.parametrize("name", ["mobilevd-hd", "mobilevd-512x256", "mobilevd-xs"])
def test_presets_are_reached_from_svd(name):
    """At SVD's depth and a fraction of its width, the preset's steps lead to a working model."""
    preset = get_preset(name).unet
    widths = tuple((path, 8, 8) for path, *_ in preset.attention_widths)
    narrow = {**UNET, "layers_per_block": preset.layers_per_block}
    wanted = replace(preset, attention_widths=widths, num_frames=4, **narrow)
    got = compress_to(small_unet(replace(CONFIG, layers_per_block=2)), wanted)
    assert Steps.of(preset).laid_out(replace(CONFIG, layers_per_block=2)) == wanted
    with torch.no_grad():
        assert got(*arguments()).isfinite().all()
