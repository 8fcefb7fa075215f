"""Model folders: round trip, shipped weights, and every way to be broken."""

import json

import pytest
import torch
from mobilevd.models.store import Model, load_model, save_model
from mobilevd.presets import PRESETS, Preset, get_preset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    save_model(Model.fresh(get_preset("mini")), folder)
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_json(name):
    preset = get_preset(name)
    assert Preset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


def test_round_trip(folder):
    torch.manual_seed(0)
    fresh = Model.fresh(get_preset("mini"))
    loaded = load_model(folder)
    assert loaded.preset == fresh.preset
    for name, network in loaded.networks().items():
        want = fresh.networks()[name].state_dict()
        for key, value in network.state_dict().items():
            assert torch.equal(value, want[key]), key


def test_shipped_mini_is_small_and_whole():
    model = load_model("mini")
    assert (model.preset.name, model.preset.size) == ("mini", get_preset("mini").size)
    parameters = sum(p.numel() for n in model.networks().values() for p in n.parameters())
    assert 2 * parameters < 20e6  # fp16 bytes
    assert all(torch.isfinite(p).all() for n in model.networks().values() for p in n.parameters())


def test_broken_folders(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.json"):
        load_model(tmp_path)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    unet = tmp_path / "unet.safetensors"
    unet.write_bytes(unet.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_model(tmp_path)
    unet.write_bytes((tmp_path / "vae.safetensors").read_bytes())
    with pytest.raises(ValueError, match="weights do not fit the model: missing"):
        load_model(tmp_path)
    unet.unlink()
    with pytest.raises(FileNotFoundError, match=r"unet\.safetensors is missing"):
        load_model(tmp_path)


def test_no_weights_for_the_large_presets():
    with pytest.raises(ValueError, match="no weights ship"):
        load_model("svd-512x256")
