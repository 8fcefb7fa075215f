"""``mobilevd evaluate --distance`` and ``train-features``: figures, files, and what they refuse."""

import json

import pytest
import torch
from mobilevd.cli.main import main
from PIL import Image
from torch import nn


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


class TinyI3d(nn.Module):
    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True,
        return_features: bool = False,
    ) -> torch.Tensor:  # fmt: skip
        return x.mean((2, 3, 4))


def test_distance_of_the_shipped_model(capsys, tmp_path):
    arguments = ("evaluate", "--model", "mini", "--distance", "--clips", 3, "--steps", 1,
                 "--work", tmp_path / "work", "--seed", 2)  # fmt: skip
    sheet, figures = tmp_path / "clips.png", tmp_path / "figures.json"
    code, out, _ = run(capsys, *arguments, "--sheet", sheet, "--json", figures)
    assert code == 0
    (row,) = json.loads(figures.read_text())
    assert {"name", "nfe", "clips", "distance", "distance_ci95", "distance_floor", "mmd", "motion",
            "motion_floor", "first_frame_psnr_db"} <= set(row)  # fmt: skip
    assert (row["nfe"], row["clips"], row["seed"]) == (1, 3, 2)
    assert row["distance_name"] == "Fréchet digits distance"
    assert row["distance"] > 0
    assert "fvd" not in row
    assert f"{row['motion']:.3f}" in out
    with Image.open(sheet) as image:
        assert image.size == (14 * 66, 6 * 66 + 2 * 4)
    code, _, _ = run(capsys, *arguments, "--json", tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == [row]


def test_fvd_is_named_so_with_a_feature_file_only(capsys, tmp_path):
    path = tmp_path / "i3d_torchscript.pt"
    torch.jit.script(TinyI3d()).save(str(path))
    code, _, _ = run(
        capsys, "evaluate", "--distance", "--features", path, "--clips", 2, "--steps", 1,
        "--work", tmp_path / "work", "--json", tmp_path / "f.json",
    )  # fmt: skip
    assert code == 0
    (row,) = json.loads((tmp_path / "f.json").read_text())
    assert {"fvd", "fvd_ci95", "fvd_floor"} <= set(row)
    assert "distance" not in row


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", 4], "--steps goes with --distance"),
        (["--device", "cuda"], "--device goes with --distance"),
        (["--distance", "--clips", 1], "at least 2 clips"),
        (["--distance", "--data", "ucf101:here"], "--data goes with --features"),
        (["--distance", "--features", "none.pt", "--clips", 2], "no file none.pt"),
        (["--distance", "--fps", 25, "--clips", 2], "no other fps"),
    ],
)
def test_refused(capsys, tmp_path, flags, message):
    code, _, err = run(capsys, "evaluate", *flags, "--work", tmp_path / "work")
    assert code in (1, 2)
    assert message in " ".join(err.split())
    assert not (tmp_path / "work").exists()


def test_train_features(capsys, tmp_path):
    code, out, _ = run(
        capsys, "train-features", "-o", tmp_path / "f", "--steps", 40, "--json", tmp_path / "f.json"
    )
    assert code == 0
    assert "value_accuracy" in out
    assert {p.name for p in (tmp_path / "f").iterdir()} == {
        "features.json",
        "network.safetensors",
    }
    assert json.loads((tmp_path / "f.json").read_text())[0]["name"] == "frechet_digits_distance"
