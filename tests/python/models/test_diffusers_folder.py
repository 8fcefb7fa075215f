"""A diffusers pipeline folder read into our networks, and every way for it to be wrong."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from mobilevd.models.clip_vision import ClipVision, ClipVisionConfig, transformers_key
from mobilevd.models.diffusers_folder import clip_config_to_ours, read_pipeline
from mobilevd.models.store import load_model, save_model
from mobilevd.models.svd_vae import SvdDecoder
from mobilevd.models.tiny_vae import TinyDecoder
from mobilevd.presets import get_preset
from safetensors.torch import load_file, save_file
from svd_pipeline import write_pipeline, write_tiny_vae

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

PRESET = get_preset("svd-512x256")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("svd"))


@pytest.fixture
def broken(folder, tmp_path):
    """A copy to break."""
    return shutil.copytree(folder, tmp_path / "svd")


def weights(folder, part):
    stem = "model" if part == "image_encoder" else "diffusion_pytorch_model"
    return folder / part / f"{stem}.safetensors"


def tensors(model):
    return {
        f"{name}.{key}": value
        for name, network in model.networks().items()
        for key, value in network.state_dict().items()
    }


def assert_same(got, want):
    assert got.keys() == want.keys()
    for key, value in want.items():
        assert torch.equal(got[key], value), key


@torch.no_grad()
def test_networks_equal_diffusers(folder):
    model = read_pipeline(folder, PRESET)
    theirs = diffusers.StableVideoDiffusionPipeline.from_pretrained(folder)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        model.image_encoder(image)[:, 0],
        theirs.image_encoder(image).image_embeds,
        rtol=1e-4,
        atol=1e-5,
    )
    want = theirs.vae.encode(image).latent_dist.mode()
    torch.testing.assert_close(model.vae.encoder(image), want, rtol=1e-4, atol=1e-5)
    assert model.preset.unet.num_frames == PRESET.unet.num_frames
    assert (model.preset.height, model.preset.vae.latent_scale) == (256, 0.18215)
    assert not any(p.requires_grad for n in model.networks().values() for p in n.parameters())


def test_shards_and_fp16_variant(folder, tmp_path):
    want = tensors(read_pipeline(folder, PRESET))
    sharded = write_pipeline(tmp_path / "shards", max_shard_size="200KB")
    for part in ("unet", "vae", "image_encoder"):
        assert len(list((sharded / part).glob("*-of-*.safetensors"))) > 1
    assert_same(tensors(read_pipeline(sharded, PRESET)), want)

    half = tmp_path / "half"
    pipeline = diffusers.StableVideoDiffusionPipeline.from_pretrained(folder).to(torch.float16)
    pipeline.save_pretrained(half, variant="fp16", max_shard_size="200KB")
    rounded = {key: value.half() for key, value in want.items()}
    read = read_pipeline(half, PRESET)  # the only weights there are
    assert_same(tensors(read), {key: value.float() for key, value in rounded.items()})
    assert_same(tensors(read_pipeline(half, PRESET, dtype=None)), rounded)

    # Beside the full weights it is read only when asked for.
    shutil.copytree(folder, half, dirs_exist_ok=True)
    assert_same(tensors(read_pipeline(half, PRESET)), want)
    assert_same(tensors(read_pipeline(half, PRESET, dtype=None, variant="fp16")), rounded)


@torch.no_grad()
def test_tiny_decoder_shares_the_latents(folder, tmp_path):
    tiny = write_tiny_vae(tmp_path / "taesd")
    model = read_pipeline(folder, PRESET, tiny_vae=tmp_path / "taesd")
    assert isinstance(model.vae.decoder, TinyDecoder)
    diffused = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        model.vae.decoder(diffused / model.preset.vae.latent_scale),
        tiny.decode(diffused).sample,
        rtol=1e-4,
        atol=1e-5,
    )
    save_model(model, tmp_path / "ours")
    again = load_model(tmp_path / "ours")
    assert again.preset == model.preset
    assert_same(tensors(again), tensors(model))


def test_model_folder_round_trip(folder, tmp_path):
    model = read_pipeline(folder, PRESET)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.preset == model.preset
    assert isinstance(again.vae.decoder, SvdDecoder)
    assert_same(tensors(again), tensors(model))


def test_full_size_image_encoder_keys_on_meta():
    config = transformers.CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        projection_dim=1024,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
        hidden_act="gelu",
    )
    with torch.device("meta"):
        theirs = transformers.CLIPVisionModelWithProjection(config)
        ours = ClipVision(ClipVisionConfig())
    assert clip_config_to_ours(config.to_dict(), {}) == ClipVisionConfig()
    want = {transformers_key(k): v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == want
    assert sum(p.numel() for p in ours.parameters()) == pytest.approx(632.1e6, rel=1e-3)


def fails(folder, match, error=ValueError, **options):
    with pytest.raises(error, match=match) as caught:
        read_pipeline(folder, PRESET, **options)
    assert "\n" not in str(caught.value)


def test_wrong_folder(broken, tmp_path):
    fails(tmp_path, r"no model_index\.json: not a diffusers pipeline folder", FileNotFoundError)
    fails(broken, "has no fp16 .safetensors weights", FileNotFoundError, variant="fp16")
    fails(broken, "unknown variant 'int8'", variant="int8")
    index = broken / "model_index.json"
    config = broken / "unet" / "config.json"
    whole = json.loads(config.read_text())
    config.write_text(json.dumps({**whole, "_class_name": "UNet2DModel"}))
    fails(broken, "is of the class UNet2DModel, not UNetSpatioTemporalConditionModel")
    del whole["block_out_channels"]
    config.write_text(json.dumps(whole))
    fails(broken, r"config\.json lacks the entry 'block_out_channels'")
    config.write_text("{")
    fails(broken, r"config\.json is not a JSON object")
    shutil.rmtree(broken / "unet")
    fails(broken, "lacks the folder unet", FileNotFoundError)
    index.write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    fails(broken, "holds a StableDiffusionPipeline, not a StableVideoDiffusionPipeline")


def test_unsupported_scheduler_and_activation(broken):
    config = broken / "image_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_act": "quick_gelu"}))
    fails(broken, "hidden_act quick_gelu is not supported")
    path = broken / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "epsilon"}))
    fails(broken, "prediction_type is epsilon, supported is v_prediction")


def test_keys_shapes_and_types_are_named(broken):
    path = weights(broken, "vae")
    state = load_file(path)
    del state["quant_conv.bias"]
    state["decoder.extra"] = torch.zeros(2)
    state["encoder.conv_in.bias"] = state["encoder.conv_in.bias"][:5].clone()
    state["decoder.conv_out.bias"] = torch.zeros(3, dtype=torch.int64)
    save_file(state, path)
    with pytest.raises(ValueError, match="weights do not fit the model") as caught:
        read_pipeline(broken, PRESET)
    line = str(caught.value)
    assert "missing encoder.quant_conv.bias" in line
    assert "unexpected decoder.extra" in line
    assert "encoder.conv_in.bias has shape [5], expected [32]" in line
    assert "decoder.conv_out.bias is stored as I64" in line
    assert str(path) in line
    path.write_bytes(path.read_bytes()[:1000])
    fails(broken, "not a whole safetensors file")


def test_pickles_are_refused(broken):
    path = weights(broken, "unet")
    path.unlink()
    fails(broken, "has no .safetensors weights", FileNotFoundError)
    path.with_suffix(".bin").write_bytes(b"\x80\x04cos\nsystem\n")
    fails(broken, "a pickle, which can run code and is never read")


def test_missing_shard_and_bad_index(tmp_path):
    folder = write_pipeline(tmp_path, max_shard_size="200KB")
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    shard = sorted((folder / "unet").glob("*-of-*.safetensors"))[1]
    content = shard.read_bytes()
    shard.unlink()
    fails(folder, f"lacks the weight file {shard.name}", FileNotFoundError)
    shard.write_bytes(content)
    index.write_text(json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}))
    fails(folder, "names a file outside its folder")
    index.write_text("[]")
    fails(folder, "is not an index of safetensors shards")
    index.unlink()
    fails(folder, "several weight files and no index")


# VmHWM, not ru_maxrss: the latter keeps the size of the process that forked this one.
MEASURE = """
import sys
from pathlib import Path
import torch
from torch import nn
from mobilevd.models.weight_folder import load_weights

def kilobytes(name):
    line = next(l for l in open("/proc/self/status") if l.startswith(name))
    return int(line.split()[1])

with torch.device("meta"):
    model = nn.Sequential(*(nn.Linear(2048, 2048, bias=False) for _ in range(16)))
before = kilobytes("VmRSS")
load_weights(model, Path(sys.argv[1]), lambda k: k, dtype=torch.float32)
size = sum(p.nbytes for p in model.parameters()) / 1024
print((kilobytes("VmHWM") - before) / size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_peak_memory_is_the_models_own(tmp_path, dtype):
    """268 MB as float32; mapped pages count, so load_file and a copy would show 2 (or 1.5)."""
    state = {f"{i}.weight": torch.full((2048, 2048), 0.5, dtype=dtype) for i in range(16)}
    save_file(state, tmp_path / "model.safetensors")
    del state
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    ratio = float(run.stdout)
    print(f"peak / model: {ratio:.3f}")
    assert 0.95 < ratio <= 1.3
