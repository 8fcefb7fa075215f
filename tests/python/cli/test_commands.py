"""The other sub-commands: help with an example, JSON, exit codes."""

import json

import pytest
from mobilevd.cli.main import main
from mobilevd.presets import PRESETS

COMMANDS = [
    "generate", "train", "compress", "export", "inspect", "bench", "flops", "evaluate", "encode",
    "plan", "compare", "presets", "reproduce", "pack-shards", "train-features",
]  # fmt: skip


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"Example: mobilevd {command}" in " ".join(out.split())


def test_version_and_no_command(capsys):
    assert run(capsys, "--version")[:2] == (0, "mobilevd 0.1.0\n")
    code, _, err = run(capsys, "fly")
    assert code == 2
    assert "fly" in err


@pytest.mark.parametrize("command", ["train", "flops", "export", "evaluate"])
def test_unknown_preset_lists_the_known(capsys, tmp_path, command):
    flag = "--model" if command in ("export", "evaluate") else "--preset"
    extra = ["-o", tmp_path / "out"] if command in ("train", "export") else []
    code, _, err = run(capsys, command, flag, "huge", *extra)
    assert code == 2
    assert "unknown preset 'huge'; known: " + ", ".join(PRESETS) in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--weights", "random:1"), "--preset and --weights go together"),
        (("--preset", "mini"), "--preset and --weights go together"),
        (("--preset", "huge", "--weights", "random:1"), "unknown preset 'huge'"),
        (
            ("--preset", "mini", "--weights", "random:1", "--model", "mini"),
            "--model does not go with --preset and --weights",
        ),
        (("--preset", "mini", "--weights", "random:x"), "--weights takes random:SEED"),
        (("--preset", "mini", "--weights", "svd"), "mobilevd compress --weights FOLDER --preset"),
    ],
)
def test_export_of_random_weights_usage(capsys, tmp_path, flags, message):
    code, _, err = run(capsys, "export", "-o", tmp_path / "out", *flags)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_flops_json(capsys, tmp_path):
    code, out, _ = run(capsys, "flops", "--json", tmp_path / "flops.json")
    assert code == 0
    assert "45.43" in out
    assert "fitted" in out
    rows = json.loads((tmp_path / "flops.json").read_text())
    assert {r["table"] for r in rows} == {"2", "3", "5", "6", "presets"}
    stages = [r["paper_tflops"] for r in rows if r["table"] == "2"]
    assert stages == [45.43, 23.63, 8.60, 8.24, 5.42, 4.64, 4.34]
    presets = {r["name"]: r for r in rows if r["table"] == "presets"}
    assert set(presets) == set(PRESETS)
    assert presets["svd-512x256"]["tflops"] == pytest.approx(8.6, rel=0.03)
    assert {"params", "weights_mb_int8", "peak_activation_mb_fp16"} <= set(rows[0])


def test_flops_by_module(capsys, tmp_path):
    arguments = ("flops", "--preset", "mini", "--by", "module")
    code, out, _ = run(capsys, *arguments, "--json", tmp_path / "modules.json")
    assert code == 0
    assert "mid_block.attentions.0.transformer_blocks.0" in out
    rows = json.loads((tmp_path / "modules.json").read_text())
    assert sum(r["share"] for r in rows) == pytest.approx(1.0)
    for wrong, message in (
        (("--table", "4"), "unknown table '4'; known: 2, 3, 5, 6, presets"),
        (("--by", "module"), "--by takes module, together with --preset"),
        (("--preset", "mini", "--table", "2"), "exclude each other"),
    ):
        code, _, err = run(capsys, "flops", *wrong)
        assert code == 2
        assert message in err


def test_compress_then_load(capsys, tmp_path, uncompressed_mini):
    code, out, _ = run(capsys, "compress", "--model", uncompressed_mini, "-o", tmp_path / "model")
    assert code == 0
    assert "M parameters" in out
    from mobilevd.models.store import load_model

    assert load_model(tmp_path / "model").preset.unet.collapsed_cross_attention


def test_train_usage(capsys, tmp_path):
    assert run(capsys, "train", "-o", tmp_path)[0] == 2
    code, _, err = run(capsys, "train", "-o", tmp_path, "--method", "magic")
    assert code == 2
    assert "unknown method 'magic'; known: autoencoder, decoder, svd" in err


def test_bench_usage(capsys):
    for flags, says in (
        (("--kernel", "mmx"), "unknown kernel 'mmx'"),
        (("--only", "tvm"), "unknown peer 'tvm'"),
    ):
        code, _, err = run(capsys, "bench", *flags)
        assert (code, says in err) == (2, True), err


def test_encode(capsys, tmp_path):
    import numpy as np
    from PIL import Image

    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(3):
        Image.fromarray(np.full((16, 16, 3), 60 * i, np.uint8)).save(frames / f"frame_{i:04d}.png")
    code, _, err = run(
        capsys,
        "encode",
        frames,
        "-o",
        tmp_path / "clip.mp4",
        "--contact-sheet",
        tmp_path / "sheet.png",
    )
    assert code == 0, err
    assert (tmp_path / "clip.mp4").stat().st_size > 0
    assert run(capsys, "encode", tmp_path / "none", "-o", tmp_path / "x.mp4")[0] == 2
    for fps in ("0", "-3", "nan", "inf"):
        code, _, err = run(capsys, "encode", frames, "-o", tmp_path / "x.gif", "--fps", fps)
        assert code == 2
        assert "--fps must be above 0" in err
    assert not (tmp_path / "x.gif").exists()


def test_encode_keeps_the_rate_of_a_file(capsys, tmp_path):
    import numpy as np
    from mobilevd.runtime.video import frame_rate, write_video

    write_video(tmp_path / "clip.mp4", np.zeros((3, 16, 16, 3), np.uint8), fps=12)
    for flags, rate in (((), 12), (("--fps", 5), 5)):
        made = tmp_path / f"{rate}.webm"
        assert run(capsys, "encode", tmp_path / "clip.mp4", "-o", made, *flags)[0] == 0
        assert frame_rate(made) == rate


def test_evaluate(capsys, tmp_path):
    code, _, _ = run(capsys, "evaluate", "--clips", 8, "--json", tmp_path / "e.json")
    assert code == 0
    figures = {r["name"]: r["value"] for r in json.loads((tmp_path / "e.json").read_text())}
    assert figures["reconstruction_psnr_db"] >= 25  # the bar
    assert figures["denoising_loss_sigma_2"] < 0.5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backend", "vulkan", "--texture-limit", 1000], "one of 2048, 4096, 16384, not 1000"),
        (["--texture-limit", 2048], "--texture-limit goes with --backend vulkan, not xnnpack"),
        (["--backend", "vulkan", "--precision", "int4"], "--backend vulkan --precision fp16"),
    ],
)
def test_export_refuses_flavours_that_are_not(capsys, tmp_path, flags, message):
    code, _, err = run(capsys, "export", "--model", "mini", "-o", tmp_path / "out", *flags)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "out").exists()
