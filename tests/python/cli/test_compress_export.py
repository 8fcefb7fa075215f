"""A diffusers folder through `compress` with every step, `export` and one clip."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mobilevd.export.stages import STAGES, make_stage
from mobilevd.models.store import load_model
from programs import relative_error, run_program
from svd_pipeline import write_pipeline, write_tiny_vae

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

# mobilevd-xs brings both multiscalings and one evaluation; a UNet this shallow needs its own
# number of blocks and its own funnels.
STEPS = ["--preset", "mobilevd-xs", "--frames", "4", "--temporal-multiscaling", "mean",
         "--temporal-blocks", "5", "--fun-factor", "0.5",
         "--funnels", "spatial,temporal,convolutions", "--precision", "fp16"]  # fmt: skip


def mobilevd(*arguments):
    command = [sys.executable, "-m", "mobilevd", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of models (svd, taesd, model) and the bundle, made by the commands alone."""
    folder = tmp_path_factory.mktemp("made")
    write_pipeline(folder / "svd", levels=2)
    write_tiny_vae(folder / "taesd")
    inputs = ["--weights", folder / "svd", "--tiny-vae", folder / "taesd"]
    done = mobilevd("compress", *inputs, *STEPS, "-o", folder / "model",
                    "--json", folder / "compress.json")  # fmt: skip
    assert done.stderr == ""  # no progress bar where there is no terminal
    mobilevd("export", "--model", folder / "model", "-o", folder / "bundle")
    return folder


def test_every_step_is_recorded(made):
    config = load_model(made / "model").preset.unet
    assert config.collapsed_cross_attention
    assert (config.temporal_factor, config.temporal_operator) == (2, "mean")
    assert config.spatial_factor == 2
    assert len(config.temporal_blocks) == 5
    assert config.attention_widths
    assert {qk for _, qk, _ in config.attention_widths} == {8}  # of heads of 16
    assert config.resblock_widths
    assert not config.unmerged_funnels
    (row,) = json.loads((made / "compress.json").read_text())
    assert row["params"] == sum(p.numel() for p in load_model(made / "model").unet.parameters())
    assert row["params"] < 0.8 * row["params_before"]
    stored = (made / "model" / "unet.safetensors").stat().st_size
    assert stored == pytest.approx(2 * row["params"], rel=0.05)  # fp16


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_stage_equals_eager(made, name):
    model = load_model(made / "model")
    networks = {
        "image_encoder": model.image_encoder,
        "vae_encoder": model.vae.encoder,
        "unet": model.unet.forward_sinusoids,
        "vae_decoder": model.vae.decoder,
    }
    stage = make_stage(model, name, "xnnpack")
    inputs = stage.example(seed=5)
    want = networks[name](*inputs)
    (got,) = run_program(made / "bundle" / f"{name}.pte", inputs)
    assert tuple(got.shape) == stage.outputs[0].shape == tuple(want.shape)
    assert want.std() > 1e-3
    assert relative_error(got, want) < 1e-4


def test_a_clip_of_one_evaluation(made):
    from mobilevd.runtime import Pipeline
    from PIL import Image
    from sklearn.datasets import load_sample_image

    Image.fromarray(load_sample_image("china.jpg")).save(made / "photo.png")
    clip = Pipeline(made / "bundle").generate(str(made / "photo.png"), seed=1)
    assert clip.frames.shape == (4, 256, 512, 3)
    assert clip.stats["nfe"] == 1
    assert np.std(clip.frames) > 1
