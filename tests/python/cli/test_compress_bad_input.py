"""mobilevd compress refuses in one line, before the long work, and leaves nothing behind."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from mobilevd.cli.main import main
from mobilevd.models import store
from safetensors.torch import load_file, save_file
from svd_pipeline import write_pipeline

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def svd(tmp_path_factory):
    """At SVD's depth: 38 temporal blocks; in shards."""
    folder = tmp_path_factory.mktemp("svd")
    return write_pipeline(folder, layers=2, max_shard_size="4MB")


@pytest.fixture
def broken(svd, tmp_path):
    """A copy to break."""
    return shutil.copytree(svd, tmp_path / "svd")


def refused(capsys, output, code, message, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["compress", *map(str, arguments), "-o", str(output)])
    out, err = capsys.readouterr()
    assert stop.value.code == code, err
    assert message in err
    assert (out, err.count("\n")) == ("", 1)
    assert not output.exists()
    assert not [p for p in output.parent.iterdir() if p.name.startswith(".")]


STEPS = [
    (["--fun-factor", "0"], "a fun-factor must be in (0, 1], not 0"),
    (["--fun-factor", "-0.5"], "a fun-factor must be in (0, 1], not -0.5"),
    (["--fun-factor", "1.01"], "a fun-factor must be in (0, 1], not 1.01"),
    (["--fun-factor", "nan"], "a fun-factor must be in (0, 1], not nan"),
    (["--temporal-blocks", "39"], "n temporal blocks to keep must be in 0..38, not 39"),
    (["--temporal-blocks", "-1"], "n temporal blocks to keep must be in 0..38, not -1"),
    (["--frames", "7"], "7 frames are odd"),
    (["--frames", "0"], "frames"),
    (["--temporal-multiscaling", "median"], "frame_selection, mean, none, not median"),
    (["--fun-factor", "0.5", "--funnels", "cross"], "no funnels on 'cross'; known: spatial"),
    (["--funnels", "spatial"], "--funnels needs --fun-factor"),
    (["--funnel-init", "xavier"], "--funnel-init must be one of coupled, truncated, he"),
    (
        ["--preset", "svd-1024x576", "--spatial-multiscaling"],
        "needs latents that 16 divides, not 72x128",
    ),
    (["--precision", "int8"], "--precision must be one of fp32, fp16, not int8"),
]


@pytest.mark.parametrize(("flags", "message"), STEPS, ids=lambda v: " ".join(v)[:40])
def test_steps(capsys, monkeypatch, svd, tmp_path, flags, message):
    """Refused from the configuration: no weights are read for it."""
    monkeypatch.setattr("mobilevd.models.diffusers_folder.load_files", None)
    start = ["--weights", svd, "--preset", "mobilevd-512x256"]
    refused(capsys, tmp_path / "out", 2, message, *start, *flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--frames", "5", "--temporal-multiscaling", "mean"], "5 frames are odd"),
        (["--temporal-blocks", "25"], "must be in 0..24, not 25"),  # mini has 24
        (["--fun-factor", "2"], "a fun-factor must be in (0, 1], not 2"),
        (["--unmerged"], "--unmerged needs funnels: give --fun-factor"),
        (["--model", "huge"], "unknown preset 'huge'"),
    ],
    ids=lambda v: " ".join(v)[:40],
)
def test_steps_of_a_model(capsys, tmp_path, uncompressed_mini, flags, message):
    refused(capsys, tmp_path / "out", 2, message, "--model", uncompressed_mini, *flags)


def test_folder(capsys, broken, tmp_path):
    start = ["--weights", broken, "--preset", "mobilevd-512x256"]
    output = tmp_path / "out"
    message = "not a diffusers pipeline folder"
    refused(capsys, output, 1, message, "--weights", tmp_path, "--preset", "mobilevd-512x256")
    shards = sorted((broken / "unet").glob("*-of-*.safetensors"))
    state = load_file(shards[1])
    key = next(iter(state))
    save_file({**state, key: state[key].int()}, shards[1])
    refused(capsys, output, 1, f"{key} is stored as I32, not as one of F64, F32, F16, BF16", *start)
    save_file({**state, key: state[key].flatten()[:1].clone()}, shards[1])
    refused(capsys, output, 1, f"{key} has shape [1], expected ", *start)
    save_file({**state, "surplus": torch.zeros(1)}, shards[1])
    refused(capsys, output, 1, "unexpected surplus", *start)
    shards[1].unlink()
    refused(capsys, output, 1, f"lacks the weight file {shards[1].name}", *start)


def test_a_broken_vae_is_found_before_the_unet_is_read(capsys, monkeypatch, broken, tmp_path):
    monkeypatch.setattr("mobilevd.models.diffusers_folder.load_files", None)
    (broken / "vae" / "diffusion_pytorch_model.safetensors.index.json").unlink(missing_ok=True)
    for file in (broken / "vae").glob("*.safetensors"):
        file.unlink()
    start = ["--weights", broken, "--preset", "mobilevd-512x256"]
    refused(capsys, tmp_path / "out", 1, "vae has no .safetensors weights", *start)


def test_output_and_fp16(capsys, tmp_path):
    letter = tmp_path / "folder" / "letter.txt"
    letter.parent.mkdir()
    letter.write_text("dear")
    with pytest.raises(SystemExit):
        main(["compress", "--model", "mini", "-o", str(letter.parent)])
    assert "holds other files" in capsys.readouterr().err
    assert [p.name for p in letter.parent.iterdir()] == ["letter.txt"]
    model = store.load_model("mini")
    model.unet.conv_in.weight[0, 0, 0, 0] = 1e6
    store.save_model(model, tmp_path / "large")
    arguments = ["--model", tmp_path / "large", "--precision", "fp16"]
    refused(capsys, tmp_path / "out", 1, "conv_in.weight has values that fp16 cannot", *arguments)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_bar_on_a_terminal_only(svd, tmp_path, terminal):
    environment = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"}
    if terminal:
        environment["FORCE_COLOR"] = "1"  # what rich takes for a terminal
    arguments = ["--weights", svd, "--preset", "mobilevd-512x256", "-o", tmp_path / "out"]
    command = [sys.executable, "-m", "mobilevd", "compress", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert ("compress: write image_encoder" in done.stderr) == terminal
    assert bool(done.stderr) == terminal
