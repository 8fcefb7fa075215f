"""Our UNet against diffusers' on random weights, in float64."""

import json

import diffusers
import pytest
import torch
from mobilevd.models import UNetConfig, create_unet, from_diffusers
from mobilevd.models.diffusers_keys import (
    config_to_ours,
    state_dict_to_diffusers,
    state_dict_to_ours,
)
from safetensors.torch import save_file
from small_networks import DIFFUSERS_UNET


def reference(frames=4, layers=2, transformer_layers=1, seed=0):
    torch.manual_seed(seed)
    model = diffusers.UNetSpatioTemporalConditionModel(
        **{**DIFFUSERS_UNET, "layers_per_block": layers},
        transformer_layers_per_block=transformer_layers,
        num_frames=frames,
    )
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=0.05) if p.ndim > 1 else p.uniform_(-1, 1)
    return model.double().eval()


def inputs(batch=2, frames=4, height=16, width=8, tokens=1):
    generator = torch.Generator().manual_seed(1)

    def rand(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return (
        rand(batch, frames, 8, height, width),
        rand(batch),
        rand(batch, tokens, 24),
        torch.tensor([[6.0, 127.0, 0.02]]).double().repeat(batch, 1),
    )


@pytest.mark.parametrize(
    ("batch", "frames", "layers", "transformer_layers", "tokens"),
    [(2, 4, 2, 1, 1), (1, 3, 1, 1, 1), (1, 1, 1, 2, 1), (2, 2, 1, 1, 3)],
)
@torch.no_grad()
def test_equals_diffusers(batch, frames, layers, transformer_layers, tokens):
    theirs = reference(frames, layers, transformer_layers)
    ours = from_diffusers(theirs)
    args = inputs(batch, frames, tokens=tokens)
    want, got = theirs(*args).sample, ours(*args)
    # The sinusoids are float32 on both sides; the rest is float64.
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)
    assert want.abs().max() > 0.1


def test_key_map_is_one_to_one():
    theirs = reference().state_dict()
    back = state_dict_to_diffusers(state_dict_to_ours(theirs))
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in theirs.items()}
    assert all(v.ndim <= 4 for v in state_dict_to_ours(theirs).values())


def test_full_size_keys_on_meta():
    with torch.device("meta"):
        theirs = diffusers.UNetSpatioTemporalConditionModel(
            num_attention_heads=(5, 10, 20, 20), num_frames=14
        )
        ours = create_unet("svd-512x256")
    assert config_to_ours(dict(theirs.config)) == ours.config
    want = {k: v.shape for k, v in state_dict_to_ours(theirs.state_dict()).items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == want
    assert sum(v.numel() for v in want.values()) == pytest.approx(1524.6e6, rel=1e-4)


@torch.no_grad()
def test_folder_with_shards(tmp_path):
    theirs = reference()
    folder = tmp_path / "svd" / "unet"
    theirs.half().save_pretrained(folder, variant="fp16", max_shard_size="2MB")
    theirs = reference().float()
    theirs.save_pretrained(folder, max_shard_size="2MB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    got = from_diffusers(tmp_path / "svd")
    args = [a.float() for a in inputs()]
    torch.testing.assert_close(got(*args), theirs(*args).sample, rtol=1e-5, atol=1e-5)


def test_folder_errors_name_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        from_diffusers(tmp_path)
    theirs = reference().float()
    theirs.save_pretrained(tmp_path)
    state = theirs.state_dict()
    state["conv_in.bias"] = state["conv_in.bias"][:5]
    del state["conv_out.bias"]
    state["extra.weight"] = torch.zeros(2)
    save_file(state, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ValueError, match=r"missing conv_out\.bias") as error:
        from_diffusers(tmp_path)
    assert "unexpected extra.weight" in str(error.value)
    assert "conv_in.bias has shape [5], expected [32]" in str(error.value)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="safetensors"):
        from_diffusers(tmp_path)


def test_config_round_trip_and_errors():
    config = create_unet(
        UNetConfig(
            block_out_channels=(32, 32), attention_levels=(True, False), num_attention_heads=(1, 1)
        )
    ).config
    assert UNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="unknown UNet configuration entries: depth"):
        UNetConfig.from_dict({"depth": 3})
    with pytest.raises(ValueError, match="multiple of 32"):
        UNetConfig(block_out_channels=(40, 64, 96, 96))
    with pytest.raises(ValueError, match="unknown preset 'nope'; known: svd-1024x576"):
        create_unet("nope")
