"""Parity of a bundle's stages and blocks with its model: figures, blocks, and what fails."""

import copy
import dataclasses
import gc
import math
import weakref

import numpy as np
import pytest
import torch
from mobilevd.evaluate.parity import first_over, measure, measure_parity
from mobilevd.evaluate.parity.figures import compare, worst
from mobilevd.evaluate.parity.recording import blocks_of, record_stages
from mobilevd.evaluate.programs import prepare_runtime
from mobilevd.export.bundle import export_bundle
from mobilevd.models import create_unet
from mobilevd.models.config import UNetConfig
from mobilevd.models.parts import Promised
from mobilevd.models.store import Model, load_model
from mobilevd.models.tiny_vae import TinyVaeConfig
from mobilevd.presets import get_preset
from mobilevd.psnr import EXACT_DB
from PIL import Image


def test_figures_by_hand():
    want = torch.tensor([3.0, 4.0, 0.0, -1.0])
    figures = compare(want + torch.tensor([0.0, 0.0, 0.5, 0.0]), want)
    assert figures["relative_l2"] == pytest.approx(0.5 / math.sqrt(26))
    assert figures["max_abs"] == 0.5
    assert figures["cosine"] == pytest.approx(26 / math.sqrt(26 * 26.25))
    assert figures["psnr_db"] == pytest.approx(10 * math.log10(5**2 / (0.25 / 4)))
    assert compare(want, want) == {
        "cosine": pytest.approx(1.0),
        "relative_l2": 0.0,
        "max_abs": 0.0,
        "psnr_db": EXACT_DB,
        "non_finite": 0,
    }
    assert compare(-want, want)["cosine"] == pytest.approx(-1.0)
    with pytest.raises(ValueError, match=r"compared \(4,\) with \(2, 2\)"):
        compare(want, want.reshape(2, 2))


def test_nan_is_worse_than_any_error():
    want = torch.ones(4)
    nan = compare(torch.tensor([1.0, math.nan, math.inf, 1.0]), want)
    assert nan["non_finite"] == 2
    assert nan["relative_l2"] is None
    far = compare(100 * want, want)
    assert worst([compare(want, want), far]) is far
    assert worst([far, nan, far]) is nan
    rows = {"unet": [measure._judged({"block": "conv_in", **nan}, 1.0)]}
    assert first_over(rows) == "parity: unet, conv_in: 2 values are NaN or infinite"


def test_blocks_of_the_unet():
    config = UNetConfig(block_out_channels=(32, 64), attention_levels=(True, False),
                        num_attention_heads=(1, 2), layers_per_block=1)  # fmt: skip
    with torch.device("meta"):
        unet = create_unet(config)
    blocks = blocks_of(unet)
    assert list(blocks)[:3] == ["conv_in", "time_embedding", "add_embedding"]
    assert {
        "down_blocks.0.resnets.0", "down_blocks.0.attentions.0", "down_blocks.0.downsampler",
        "mid_block.resnets.1", "mid_block.attentions.0", "up_blocks.0.upsampler",
        "up_blocks.1.attentions.1", "conv_out",
    } <= set(blocks)  # fmt: skip
    # Between them, they have every weight, once.
    held = [p for block in blocks.values() for p in block.parameters()]
    assert len(held) == len({id(p) for p in held}) == len(list(unet.parameters()))


@pytest.fixture(scope="module")
def model():
    """One resolution level, two frames, two Euler steps with guidance: seconds, but all of it."""
    mini = get_preset("mini")
    unet = UNetConfig(
        block_out_channels=(32,), attention_levels=(True,), num_attention_heads=(1,),
        layers_per_block=1, cross_attention_dim=16, addition_time_embed_dim=8, num_frames=2,
    )  # fmt: skip
    clip = dataclasses.replace(
        mini.image_encoder, image_size=16, hidden_size=32, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32, projection_dim=16,
    )  # fmt: skip
    vae = TinyVaeConfig(width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1))
    torch.manual_seed(0)
    preset = dataclasses.replace(
        mini, height=16, width=16, unet=unet, image_encoder=clip, vae=vae,
        sampling=dataclasses.replace(mini.sampling, steps=2),
    )  # fmt: skip
    model = Model.fresh(preset)
    with torch.no_grad():
        for network in model.networks().values():
            for p in network.parameters():
                p.add_(0.05 * torch.randn_like(p))
            network.eval()
    return model


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity") / "bundle"
    manifest = export_bundle(model, folder)
    prepare_runtime("xnnpack")
    return folder, manifest


@pytest.fixture(scope="module")
def picture():
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_inputs_are_fitted_to_the_stage():
    """QNN has no five dimensions; a tiny decoder goes frame by frame."""
    shapes = ((3, 8, 4, 4), (1, 5))
    clip = torch.randn(1, 3, 8, 4, 4), torch.randn(1, 5)
    assert torch.equal(measure._fitted(clip, shapes)[0], clip[0][0])
    assert torch.equal(measure._fitted(clip, shapes)[1], clip[1])
    frames = torch.randn(3, 4, 2, 2)
    assert torch.equal(measure._fitted([frames], [(1, 4, 2, 2)])[0], frames[:1])


def test_calls_of_a_real_run(model, picture):
    calls = record_stages(model, picture)
    assert {name: len(found) for name, found in calls.items()} == {
        "image_encoder": 1, "vae_encoder": 1, "unet": 2, "vae_decoder": 1}  # fmt: skip
    first, later = calls["unet"]
    # Evaluation 0 of 4 is at sigma 700, where c_in * x is noise of variance 1; 2 at the next level.
    assert first.tensors[0].shape == (1, 2, 8, 8, 8)
    assert first.tensors[0][:, :, :4].std() == pytest.approx(1.0, abs=0.2)
    assert not torch.equal(first.tensors[1], later.tensors[1])
    assert calls["vae_encoder"][0].tensors[0].abs().max() > 0.5
    assert "forward_sinusoids" not in vars(model.unet), "the model is as it was"
    assert not any(m._forward_hooks for m in model.vae.modules())


def check(rows, manifest, blocks):
    assert list(rows) == list(manifest["stages"])
    assert {row["block"] for row in rows["unet"]} == {*blocks, "whole stage"}
    assert [row["block"] for row in rows["vae_decoder"]] == ["whole stage"]
    for entries in rows.values():
        assert entries[-1]["block"] == "whole stage"
        for row in entries:
            assert row["ok"], row
            assert row["reference"] == "eager"
            assert row["relative_l2"] < 1e-5
            assert row["psnr_db"] > 100
    # Lowered arithmetic is not torch's: figures of exactly 0 everywhere would compare eager with
    # itself.
    assert any(row["relative_l2"] > 0 for row in rows["unet"])
    assert first_over(rows) is None


def test_stages_and_blocks_are_near_eager(model, bundle, picture):
    seen = []
    rows = measure_parity(
        *bundle, model, picture, only=["conv_in", "mid_block.attentions"],
        progress=lambda done, total, what: seen.append(what),
    )  # fmt: skip
    check(rows, bundle[1], ["conv_in", "mid_block.attentions.0"])
    assert "eager clip" in seen
    assert "conv_in" in seen


@pytest.mark.slow
def test_every_block_is_near_eager(model, bundle, picture):
    rows = measure_parity(*bundle, model, picture)
    check(rows, bundle[1], blocks_of(model.unet))
    blocks = [row["block"] for row in rows["unet"]]
    assert blocks.index("conv_in") < blocks.index("mid_block.resnets.0") < blocks.index("conv_out")


def test_a_wrong_rewrite_is_named(model, bundle, picture, monkeypatch):
    make = measure.make_stage

    def wrong(*arguments):
        stage = make(*arguments)
        if stage.name == "unet":
            # Not conv1: the norm behind it takes a constant off again.
            block = stage.module.get_submodule("unet.mid_block.resnets.1.spatial_res_block")
            block.conv2.bias = torch.nn.Parameter(block.conv2.bias + 0.1)
        return stage

    monkeypatch.setattr(measure, "make_stage", wrong)
    rows = measure_parity(*bundle, model, picture, only=["mid_block.resnets"])
    (good, bad), whole = rows["unet"][:2], rows["unet"][2]
    assert good["ok"]
    assert not bad["ok"]
    assert whole["ok"], "the bundle was exported before"
    line = first_over(rows)
    assert line.startswith("parity: unet, mid_block.resnets.1: relative L2 ")
    assert line.endswith(", limit 5e-04")


def test_a_bundle_of_other_weights_is_over(model, bundle, picture):
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.vae.decoder.layers[0].weight.mul_(1.5)
    rows = measure_parity(*bundle, other, picture, only=["conv_out"])
    assert first_over(rows).startswith("parity: vae_decoder, whole stage: relative L2 ")


def test_one_network_is_held_at_a_time(model, bundle, picture):
    """Of a model that makes its networks when they are asked for, as at full size."""
    made = []

    def fill(name, network):
        gc.collect()
        assert not any(other() for other in made), f"another network beside {name}"
        made.append(weakref.ref(network))
        state = model.networks()[name].state_dict()
        network.load_state_dict({k: v.clone() for k, v in state.items()}, assign=True)

    parts = Promised(model.preset, fill)
    rows = measure_parity(*bundle, parts, picture, stages=["unet"], only=["conv_in"])
    assert list(rows) == ["unet"]
    assert [row["block"] for row in rows["unet"]] == ["conv_in", "whole stage"]
    assert all(row["ok"] for row in rows["unet"])
    assert len(made) == 4, "image encoder, VAE, UNet; the UNet again for its blocks"
    rows = measure_parity(*bundle, parts, picture, stages=["vae_decoder", "vae_encoder"], only=None)
    assert {name: len(found) for name, found in rows.items()} == {
        "vae_encoder": 1,
        "vae_decoder": 1,
    }


def test_nan_of_the_model_itself_names_the_first_stage(model, bundle, picture):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.vae.encoder.layers[0].bias[0] = math.nan
    with pytest.raises(ValueError, match=r"the first are 256 of 256 of stage 'vae_encoder'"):
        measure_parity(*bundle, broken, picture)
    assert not any(m._forward_hooks for m in broken.vae.modules())


def test_nan_comes_before_what_is_only_far():
    far = {"relative_l2": 1.0, "non_finite": 0, "limit": 0.1, "ok": False}
    nan = {"relative_l2": None, "non_finite": 3, "limit": 0.1, "ok": False}
    rows = {
        "vae_encoder": [{"block": "whole stage", **far}],
        "unet": [{"block": "conv_in", **nan}, {"block": "whole stage", **nan}],
    }
    line = "parity: unet, conv_in: 3 values are NaN or infinite; 2 more"
    assert first_over(rows) == line


def test_what_cannot_be_compared(model, bundle, picture):
    with pytest.raises(ValueError, match=r"shapes is .*, the model's .*: give the model that was"):
        measure_parity(*bundle, load_model("mini"), picture)
    with pytest.raises(ValueError, match=r"no block middle in the UNet; there are .*conv_in"):
        measure_parity(*bundle, model, picture, only=["middle"])
    with pytest.raises(RuntimeError, match=r"has no VulkanBackend .*EXECUTORCH_BUILD_VULKAN=ON"):
        prepare_runtime("vulkan")
