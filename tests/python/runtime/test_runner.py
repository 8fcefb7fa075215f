"""mobilevd_runner's own ways: stages, profiles, listing, cancelling."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import numpy as np
import pytest
from mobilevd import __version__
from mobilevd.runtime import runner_path
from PIL import Image


def test_version_help_and_ops(runner):
    assert runner("--version").stdout == f"mobilevd_runner {__version__}, ExecuTorch 1.5.1\n"
    assert "Example:" in runner("--help").stdout
    ops = runner("--list-ops").stdout.splitlines()
    assert "mobilevd::temporal_attention.out" in ops
    assert "aten::add.out" in ops
    assert "backend:XnnpackBackend" in ops


@pytest.mark.parametrize("stage", ["image_encoder", "vae_encoder", "unet", "vae_decoder"])
def test_one_stage_on_random_inputs(runner, bundle, tmp_path, stage):
    result = runner(
        *("--bundle", bundle, "--stage", stage, "--warmup", 2, "--repeat", 5),
        *("--json", tmp_path / "result.json"),
    )
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["stage"] == stage
    assert list(written["stages"]) == [stage]
    assert written["stages"][stage]["calls"] == 5
    assert written["stages"][stage]["load_ms"] > 0


@pytest.mark.parametrize(("seed", "is_seed"), [("010", 10), ("08", 8), (str(2**64 - 1), 2**64 - 1)])
def test_whole_numbers_are_decimal(runner, bundle, seed, is_seed):
    result = runner("--bundle", bundle, "--stage", "unet", "--seed", seed, "--json", "/dev/stdout")
    assert json.loads(result.stdout)["seed"] == is_seed


def test_unknown_stage_lists_the_known(runner, bundle):
    result = runner("--bundle", bundle, "--stage", "vae")
    assert result.returncode == 2
    assert "it has image_encoder, unet, vae_decoder, vae_encoder" in result.stderr


def events(path) -> list[str]:
    from executorch.devtools import Inspector

    return [
        event.name
        for block in Inspector(etdump_path=str(path)).event_blocks
        for event in block.events
    ]


def test_etdump_of_one_stage_shows_our_op(runner, bundle, tmp_path):
    trace = tmp_path / "unet.etdp"
    result = runner("--bundle", bundle, "--stage", "unet", "--etdump", trace)
    assert result.returncode == 0, result.stderr
    assert any("mobilevd::temporal_attention" in name for name in events(trace))


def test_etdump_of_a_clip_is_one_file_a_stage(runner, bundle, photo, tmp_path):
    flags = ("--bundle", bundle, "--image", photo, "--output", tmp_path / "clip")
    result = runner(*flags, "--etdump", tmp_path / "trace.etdp")
    assert result.returncode == 0, result.stderr
    stages = ["image_encoder", "unet", "vae_decoder", "vae_encoder"]
    assert sorted(p.name for p in tmp_path.glob("*.etdp")) == [f"trace.{s}.etdp" for s in stages]
    assert events(tmp_path / "trace.unet.etdp")


def test_the_result_names_each_stages_own_ops(runner, bundle, photo, tmp_path):
    result = runner(
        *("--bundle", bundle, "--image", photo, "--output", tmp_path / "clip"),
        *("--warmup", 1, "--repeat", 2, "--json", tmp_path / "result.json"),
        env={**os.environ, "MOBILEVD_ISA": "scalar"},
    )
    assert result.returncode == 0, result.stderr
    stages = json.loads((tmp_path / "result.json").read_text())["stages"]
    (fused,) = stages["unet"]["ops"]
    assert fused["name"] == "mobilevd::temporal_attention"
    assert fused["isa"] == "scalar"
    assert fused["calls"] == stages["unet"]["calls"]  # one a run; those of the warm-up left out
    assert 0 < fused["total_ms"] <= stages["unet"]["total_ms"]
    assert all(stage["ops"] == [] for name, stage in stages.items() if name != "unet")


def test_float_frames_are_the_frames_before_rounding(runner, bundle, photo, tmp_path):
    result = runner(
        *("--bundle", bundle, "--image", photo, "--output", tmp_path / "clip"),
        *("--float-frames", tmp_path / "clip.npy", "--json", tmp_path / "result.json"),
    )
    assert result.returncode == 0, result.stderr
    floats = np.load(tmp_path / "clip.npy", allow_pickle=False)
    frames = np.stack([np.asarray(Image.open(p)) for p in sorted((tmp_path / "clip").iterdir())])
    assert floats.dtype == np.float32
    assert floats.shape == frames.shape
    assert np.abs(floats * 255.0 - frames).max() <= 0.5 + 1e-4
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["float_frames"] == str(tmp_path / "clip.npy")


@pytest.mark.parametrize(
    ("path", "says"),
    [("clip.txt", "must end in .npy"), ("none/clip.npy", "no folder"), ("f.npy", "is a folder")],
)
def test_float_frames_go_to_an_npy_file(runner, bundle, photo, tmp_path, path, says):
    (tmp_path / "f.npy").mkdir()
    result = runner(
        *("--bundle", bundle, "--image", photo, "--output", tmp_path / "clip"),
        *("--float-frames", tmp_path / path),
    )
    assert result.returncode == 2
    assert says in result.stderr
    assert not (tmp_path / "clip").exists()


def test_one_stage_has_no_float_frames(runner, bundle, tmp_path):
    result = runner("--bundle", bundle, "--stage", "unet", "--float-frames", tmp_path / "a.npy")
    assert result.returncode == 2
    assert "--float-frames" in result.stderr


def test_progress_only_when_asked(runner, bundle, photo, tmp_path):
    flags = ("--bundle", bundle, "--image", photo, "--output", tmp_path / "clip")
    assert runner(*flags).stderr == ""
    lines = runner(*flags, "--verbose", "--threads", 1).stderr.splitlines()
    assert "1 threads" in lines
    assert any(line.startswith("clip 10/10") for line in lines)


def test_json_to_standard_output(runner, bundle):
    result = runner("--bundle", bundle, "--stage", "unet", "--json", "/dev/stdout")
    assert json.loads(result.stdout)["tool"] == "mobilevd_runner"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_cleanly(bundle, photo, tmp_path, number):
    arguments = ["--bundle", bundle, "--image", photo, "--output", tmp_path / "clip.y4m"]
    process = subprocess.Popen(
        [runner_path(), *arguments, "--verbose", "--steps", "1000", "--repeat", "1000"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("clip 20/"):
            break
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert rest.splitlines()[-1] == "mobilevd_runner: cancelled"
    assert os.listdir(tmp_path) == []
