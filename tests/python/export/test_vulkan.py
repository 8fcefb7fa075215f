"""What lowering for Vulkan gives: one delegate a stage, nothing left on the CPU."""

import logging
from dataclasses import replace

import pytest
import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.light_lowering import own_storage
from mobilevd.export.lowering import lower
from mobilevd.export.manifest import read_bundle
from mobilevd.export.stages import STAGES, make_stage
from mobilevd.models.store import Model, load_model
from mobilevd.models.svd_vae import SvdVaeConfig
from mobilevd.presets import get_preset

FP32 = Flavour("vulkan", "fp32")


@pytest.mark.parametrize("name", STAGES)
def test_mini_is_one_delegate_a_stage(mini_vulkan_bundle, name):
    stage = read_bundle(mini_vulkan_bundle)["stages"][name]
    assert stage["partitions"] == 1
    assert stage["cpu_ops"] == []
    assert stage["required_ops"] == []
    assert stage["delegated_ops"] > 40
    assert {i["dtype"] for i in stage["inputs"] + stage["outputs"]} == {"float32"}


def test_the_bundle_says_its_flavour(mini_vulkan_bundle):
    manifest = read_bundle(mini_vulkan_bundle)
    said = {key: manifest[key] for key in ("backend", "precision", "texture_limit")}
    assert said == {"backend": "vulkan", "precision": "fp16", "texture_limit": 2048}
    model = load_model("mini")
    for name in STAGES:
        size = manifest["files"][manifest["stages"][name]["program"]]["bytes"]
        stage = make_stage(model, name, "vulkan")
        half = 2 * sum(p.numel() for p in stage.module.parameters())
        assert half < size < half + 1.2e6, name


@pytest.mark.parametrize(
    "name", ["vae_encoder", pytest.param("vae_decoder", marks=pytest.mark.slow)]
)
@torch.no_grad()
def test_svd_autoencoder_is_one_delegate(caplog, name):
    """The temporal decoder: frames stacked, attention over a picture, nearest upsampling."""
    mini = get_preset("mini")
    vae = SvdVaeConfig(block_out_channels=(32, 64))
    unet = replace(mini.unet, num_frames=3)
    model = Model.fresh(replace(mini, height=16, width=24, vae=vae, unet=unet))
    with caplog.at_level(logging.INFO):
        lowered = lower(make_stage(model, name, "vulkan"), FP32)
    assert lowered.report.partitions == 1
    assert lowered.report.cpu_ops == []
    assert not [r for r in caplog.records if "Vulkan" in r.getMessage()]  # it tells every node


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("limit", [2048, 16384])
@torch.no_grad()
def test_unets_with_every_step_of_mobilevd(precision, limit):
    """Both multiscalings, pruned blocks and funnels, at a size that lowers in a minute."""
    xs = get_preset("mobilevd-xs")
    unet = replace(
        get_preset("mini").unet,
        num_frames=4,
        block_out_channels=(32, 64),
        num_attention_heads=(1, 2),
        attention_levels=(True, False),
        collapsed_cross_attention=True,
        temporal_factor=2,
        spatial_factor=2,
    )
    model = Model.fresh(replace(xs, height=64, width=64, unet=unet))
    lowered = lower(make_stage(model, "unet", "vulkan"), Flavour("vulkan", precision, None, limit))
    assert lowered.report.partitions == 1
    assert lowered.report.cpu_ops == []


def test_weights_that_are_views_get_their_own_memory():
    """Vulkan's serialiser writes a storage from its beginning, whatever the view's offset."""

    class Halves(torch.nn.Module):
        def __init__(self, whole):
            super().__init__()
            self.first, self.second = (torch.nn.Parameter(half) for half in whole.chunk(2))
            self.alone = torch.nn.Parameter(torch.randn(4))

        def forward(self, x):
            return x * self.first + self.second + self.alone

    whole = torch.randn(8)
    program = torch.export.export(Halves(whole), (torch.randn(4),))
    own_storage(program)
    weights = program.state_dict
    assert torch.equal(torch.cat([weights["first"], weights["second"]]), whole)
    assert all(w.untyped_storage().nbytes() == w.nbytes == 16 for w in weights.values())
    assert {type(w) for w in weights.values()} == {torch.nn.Parameter}


@pytest.mark.parametrize(
    ("flavour", "message"),
    [
        (("vulkan", "int8"), "there are: .*--backend vulkan --precision fp16"),
        (("vulkan", "fp16", None, 1000), "--texture-limit must be one of 2048, 4096, 16384"),
        (("vulkan", "fp16", "SM8650"), "--soc goes with --backend qnn, not vulkan"),
        (("xnnpack", "fp32", None, 2048), "--texture-limit goes with --backend vulkan"),
    ],
)
def test_flavours_that_are_not(flavour, message):
    with pytest.raises(ValueError, match=message):
        Flavour(*flavour)


def test_the_default_suits_every_device():
    assert FP32.to_dict() == {"backend": "vulkan", "precision": "fp32", "texture_limit": 2048}
