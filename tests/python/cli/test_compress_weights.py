"""mobilevd compress --weights: a diffusers folder in, a model folder out, read by a new process."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from mobilevd.cli.main import main
from mobilevd.models.store import load_model
from svd_pipeline import write_pipeline

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("svd"))


RELOAD = """
import sys
import torch
from mobilevd.models.store import load_model
model = load_model(sys.argv[1])
assert model.preset.unet.collapsed_cross_attention
arguments = torch.load(sys.argv[2], weights_only=True)
with torch.no_grad():
    torch.save(model.unet(*arguments), sys.argv[3])
"""


@torch.no_grad()
def test_reloads_in_a_fresh_process(capsys, folder, tmp_path):
    output = tmp_path / "model"
    code, out, err = run(
        capsys, "compress", "--weights", folder, "--preset", "svd-512x256", "-o", output
    )
    assert code == 0, err
    assert "M parameters" in out
    assert {f.name for f in output.iterdir()} == {
        "model.json",
        "unet.safetensors",
        "vae.safetensors",
        "image_encoder.safetensors",
    }
    generator = torch.Generator().manual_seed(0)
    arguments = (
        torch.randn(1, 3, 8, 16, 8, generator=generator),
        torch.tensor([1.6]),
        torch.randn(1, 1, 24, generator=generator),
        torch.tensor([[6.0, 127.0, 0.02]]),
    )
    files = tmp_path / "arguments.pt", tmp_path / "result.pt"
    torch.save(arguments, files[0])
    subprocess.run([sys.executable, "-c", RELOAD, output, *files], check=True)
    unet = diffusers.UNetSpatioTemporalConditionModel.from_pretrained(folder / "unet")
    want = unet(*arguments).sample
    torch.testing.assert_close(torch.load(files[1], weights_only=True), want, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_unmerged_funnels_are_merged_by_the_next_run(capsys, tmp_path, uncompressed_mini):
    flags = ["--fun-factor", "0.5", "--funnels", "spatial,temporal", "--unmerged"]
    for arguments in (
        ["--model", uncompressed_mini, *flags, "-o", tmp_path / "unmerged"],
        ["--model", tmp_path / "unmerged", "-o", tmp_path / "merged"],
    ):
        code, _, err = run(capsys, "compress", *arguments)
        assert code == 0, err
    unmerged, merged = (load_model(tmp_path / n).unet for n in ("unmerged", "merged"))
    assert unmerged.config.unmerged_funnels
    assert merged.config == dataclasses.replace(unmerged.config, unmerged_funnels=False)
    generator = torch.Generator().manual_seed(0)
    arguments = (
        torch.randn(1, 14, 8, 16, 16, generator=generator),
        torch.tensor([1.6]),
        torch.randn(1, 1, 64, generator=generator),
        torch.tensor([[6.0, 60.0, 0.02]]),
    )
    want = unmerged(*arguments)
    assert float((merged(*arguments) - want).norm() / want.norm()) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--weights", "{folder}"], 2, "--weights needs --preset, one of: svd-1024x576"),
        (["--preset", "svd-512x256"], 2, "--preset, --tiny-vae and --variant go with --weights"),
        (["--weights", "{folder}", "--preset", "huge"], 2, "unknown preset 'huge'"),
        (
            ["--weights", "{folder}", "--preset", "svd-512x256", "--model", "mini"],
            2,
            "--model does not go with --weights",
        ),
        (
            ["--weights", "{folder}", "--preset", "mobilevd-512x256"],
            2,
            "no temporal block down_blocks.0.attentions.1",  # too small for the full-size preset
        ),
        (["--weights", "{empty}", "--preset", "svd-512x256"], 1, "not a diffusers pipeline folder"),
        (
            ["--weights", "{folder}", "--preset", "svd-512x256", "--variant", "fp16"],
            1,
            "has no fp16 .safetensors weights",
        ),
        (
            ["--weights", "{folder}", "--preset", "svd-512x256", "--tiny-vae", "{folder}/vae"],
            1,
            "of the class AutoencoderKLTemporalDecoder, not AutoencoderTiny",
        ),
    ],
)
def test_bad_input_is_one_line(capsys, folder, tmp_path, arguments, code, message):
    given = [a.format(folder=folder, empty=tmp_path) for a in arguments]
    got, _, err = run(capsys, "compress", *given, "-o", tmp_path / "out")
    assert (got, err.count("\n")) == (code, 1)
    assert message in err
    assert not (tmp_path / "out").exists()
