"""`mobilevd train`: what it refuses, and what it says about a run without running it."""

import json

import pytest
from mobilevd.cli.main import main


def said(capsys, arguments, code):
    with pytest.raises(SystemExit) as stop:
        main(["train", *arguments])
    assert stop.value.code == code
    text = capsys.readouterr().err.strip()
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--method", "dmd", "-o", "run"],
            "unknown method 'dmd'; known: autoencoder, decoder",
        ),
        (["--preset", "maxi", "-o", "run"], "unknown preset 'maxi'; known: "),
        (["--method", "mobilevd", "-o", "run"], "method mobilevd needs --stage, one of: low_res"),
        (
            ["--method", "sfv", "--stage", "low_resolution", "-o", "run"],
            "--stage goes with --method mobilevd, not sfv",
        ),
        (["-o", "run"], "method svd needs --vae FILE"),
        (["--method", "sfv", "-o", "run"], "method sfv needs --start"),
        (["--precision", "fp8", "-o", "run"], "--precision must be fp32 or bf16, not fp8"),
        (["--method", "sfv", "--start", "there"], "give the run's folder: -o FOLDER"),
        (["--method", "autoencoder", "--dry-run"], "not the autoencoder"),
        (
            ["--method", "autoencoder", "-o", "run", "--data", "imagenet"],
            "unknown data 'imagenet'; known: builtin, digits",
        ),
    ],
)
def test_bad_usage(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in said(capsys, arguments, 2)
    assert not (tmp_path / "run").exists()


def test_folder_without_videos(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    text = said(
        capsys,
        ["--method", "autoencoder", "-o", str(tmp_path / "run"), "--data",
         f"folder:{tmp_path / 'empty'}"],
        1,
    )  # fmt: skip
    assert str(tmp_path / "empty") in text


def test_wrong_teacher(capsys, tmp_path):
    """SVD's preset does not take mini's weights."""
    from mobilevd.models.store import Model, save_model
    from mobilevd.presets import get_preset

    save_model(Model.fresh(get_preset("mini")), tmp_path / "mini")
    text = said(
        capsys,
        ["--preset", "svd-512x256", "--method", "sfv", "--start", str(tmp_path / "mini"),
         "-o", str(tmp_path / "run")],
        1,
    )  # fmt: skip
    assert "mini has another image encoder than preset svd-512x256" in text


def test_dry_run(capsys, tmp_path):
    """Figures in the table and in the file; a trained pass costs three times its forward pass."""
    path = tmp_path / "budget.json"
    with pytest.raises(SystemExit) as stop:
        main(["train", "--cache-clips", "64", "--dry-run", "--json", str(path)])
    assert stop.value.code == 0
    (figures,) = json.loads(path.read_text())
    main_table = capsys.readouterr().out
    assert "nothing was run" in main_table
    from mobilevd.compress.flops import count
    from mobilevd.presets import get_preset

    forward = count(get_preset("mini"))["tflops"]
    assert 2.5 * forward < figures["tflops_per_clip"] < 4 * forward
    assert figures["params"] > count(get_preset("mini"))["params"]
    assert figures["memory_gb"] > 0
    assert not list(tmp_path.glob("*/"))


def test_config_file(capsys, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('method = "sfv"\npreset = "mini"\n[data]\nsource = "digits"\nsplits = "x"\n')
    text = said(capsys, ["--config", str(path), "--dry-run"], 1)
    assert "run.toml" in text
