"""The whole chain: a diffusers folder, every step, saved, reloaded in a fresh process."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from mobilevd.compress.cross_attention import collapse_cross_attention
from mobilevd.compress.funnels import add_funnels, merge_funnels
from mobilevd.compress.importance import TemporalBlockPruner
from mobilevd.compress.multiscaling import add_temporal_multiscaling
from mobilevd.models.diffusers_folder import read_pipeline
from mobilevd.models.store import save_model
from mobilevd.presets import get_preset
from safetensors.torch import load_file, save_file

# torch.load and pytest's import path stay out of it: only what a user's process would have.
RELOAD = """
import sys
import torch
from mobilevd.models.store import load_model
from safetensors.torch import load_file, save_file
unet = load_model(sys.argv[1]).unet
inputs = load_file(sys.argv[2])
with torch.no_grad():
    out = unet(inputs["a"], inputs["b"], inputs["c"], inputs["d"])
save_file({"out": out}, sys.argv[3])
assert not [m for m in sys.modules if m.startswith("mobilevd.compress")]
"""


@torch.no_grad()
def test_folder_to_compressed_model_in_a_fresh_process(tmp_path):
    from svd_pipeline import write_pipeline

    folder = write_pipeline(tmp_path / "svd")
    model = read_pipeline(folder, get_preset("svd-512x256"))
    before = sum(p.numel() for p in model.unet.parameters())
    unet = add_temporal_multiscaling(collapse_cross_attention(model.unet))
    unet = TemporalBlockPruner(unet, 7).keep_top()
    unet = merge_funnels(add_funnels(unet, 0.5, ("spatial",)))
    assert sum(p.numel() for p in unet.parameters()) < 0.8 * before
    model.unet = unet
    model.preset = replace(model.preset, unet=unet.config)
    save_model(model, tmp_path / "model")

    generator = torch.Generator().manual_seed(0)
    inputs = {
        "a": torch.randn(1, 4, 8, 16, 8, generator=generator),
        "b": torch.tensor([1.6]),
        "c": torch.randn(1, 1, 24, generator=generator),
        "d": torch.tensor([[6.0, 127.0, 0.02]]),
    }
    want = unet(*inputs.values())
    save_file(inputs, tmp_path / "inputs.safetensors")
    arguments = [
        str(tmp_path / name) for name in ("model", "inputs.safetensors", "out.safetensors")
    ]
    subprocess.run([sys.executable, "-c", RELOAD, *arguments], check=True, timeout=300)
    got = load_file(tmp_path / "out.safetensors")["out"]
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="frames"):
        unet(inputs["a"][:, :3], inputs["b"], inputs["c"], inputs["d"])
