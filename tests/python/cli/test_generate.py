"""`mobilevd generate` and the runner: one picture, the same frames, and every bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mobilevd.runtime import runner_path
from mobilevd.runtime.video import read_frames
from mobilevd.training.data.photographs import HELD_OUT, package_file
from PIL import Image


def mobilevd(*arguments, **kwargs):
    command = [sys.executable, "-m", "mobilevd", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)


@pytest.fixture(scope="module")
def photo():
    return package_file(*HELD_OUT[0])


def test_same_frames_as_the_runner(mini_bundle, photo, tmp_path):
    """The issue's bar: bit for bit, on the real mini, from a real photograph."""
    python = tmp_path / "python"
    done = mobilevd(
        "generate",
        photo,
        "-o",
        python,
        "--bundle",
        mini_bundle,
        "--seed",
        7,
        "--steps",
        3,
        "--json",
        tmp_path / "python.json",
    )
    assert done.returncode == 0, done.stderr
    runner = tmp_path / "runner"
    subprocess.run(
        [runner_path(), "--bundle", mini_bundle, "--image", photo, "--output", runner,
         "--seed", "7", "--steps", "3", "--json", tmp_path / "runner.json"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    a, b = read_frames(python), read_frames(runner)
    assert a.shape == (14, 64, 64, 3)
    assert np.array_equal(a, b)
    stats = json.loads((tmp_path / "runner.json").read_text())
    assert stats["nfe"] == 3  # no guidance: it was made for one evaluation
    assert set(stats["stages"]) == {"image_encoder", "vae_encoder", "unet", "vae_decoder"}
    assert stats["peak_rss_mb"] > 10
    assert json.loads((tmp_path / "python.json").read_text())["isa"] == stats["isa"]


def test_the_clip_moves_and_starts_at_the_picture(mini_bundle, photo, tmp_path):
    """What a user sees: the first frame is the photograph, later ones differ from it. Blurred: it
    saw more digits than photographs."""
    done = mobilevd(
        "generate",
        photo,
        "-o",
        tmp_path / "clip.mp4",
        "--bundle",
        mini_bundle,
        "--seed",
        7,
        "--contact-sheet",
        tmp_path / "sheet.png",
    )
    assert done.returncode == 0, done.stderr
    from mobilevd.runtime import Pipeline, load_image

    frames = Pipeline(mini_bundle).generate(str(photo), seed=7).frames.astype(np.float64)
    picture = load_image(str(photo), 64, 64).transpose(1, 2, 0) * 255.0
    psnr = 10 * np.log10(255**2 / np.square(frames[0] - picture).mean())
    assert psnr > 15, psnr
    change = np.abs(np.diff(frames, axis=0)).mean()
    assert 0.3 < change < 40, change
    decoded = read_frames(tmp_path / "clip.mp4")
    assert decoded.shape == (14, 64, 64, 3)
    assert np.abs(decoded - frames).mean() < 8
    assert Image.open(tmp_path / "sheet.png").width > 14 * 64


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", ""])
def test_every_ending(mini_bundle, photo, tmp_path, ending):
    output = tmp_path / f"clip{ending}"
    done = mobilevd("generate", photo, "-o", output, "--bundle", mini_bundle, "--steps", 1)
    assert done.returncode == 0, done.stderr
    assert read_frames(output).shape == (14, 64, 64, 3)
    assert [p.name for p in tmp_path.iterdir()] == [output.name]  # nothing half-written


BAD_USAGE = {
    "threads": (["--threads", "0"], "--threads must be from 1 to 1024, not 0"),
    "seed": (["--seed", "-1"], "--seed must be from 0"),
    "steps": (["--steps", "0"], "--steps must be from 1 to 1000, not 0"),
    "ending": (["-o", "clip.avi"], "unknown ending '.avi'"),
    "folder": (["-o", "no/such/clip.mp4"], "no folder"),
    "flag": (["--sed", "1"], "No such option"),
    "fps": (["--fps", "0"], "--fps must be from 1 to 1000, not 0"),
    "motion": (["--motion-bucket", "1024"], "--motion-bucket must be from 0 to 1023"),
    "noise": (["--noise-aug", "nan"], "--noise-aug must be from 0 to 10"),
    "json": (["--json", "."], "--json: . is a folder"),
    "sheet": (["--contact-sheet", "no/sheet.png"], "--contact-sheet: there is no folder"),
    "memory": (["--max-memory-mb", "-1"], "--max-memory-mb must be at least 0"),
    "many steps": (["--steps", "3000000000"], "steps"),
    "many threads": (["--threads", "5000"], "threads"),
}


@pytest.mark.parametrize("case", BAD_USAGE)
def test_bad_usage(mini_bundle, photo, tmp_path, case):
    extra, message = BAD_USAGE[case]
    done = mobilevd(
        "generate", photo, "--bundle", mini_bundle, "-o", "clip.mp4", *extra, cwd=tmp_path
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_data(mini_bundle, photo, tmp_path):
    clip = tmp_path / "clip.mp4"
    truncated = tmp_path / "photo.jpg"
    truncated.write_bytes(photo.read_bytes()[:3000])
    cases = [
        (["generate", tmp_path / "none.jpg"], 2, "no picture"),
        (["generate", truncated], 1, "photo.jpg"),
        (["generate", photo, "--bundle", tmp_path], 1, "bundle.json"),
        (["generate", photo, "--max-memory-mb", 5], 1, "5 MB"),
    ]
    for arguments, code, message in cases:
        if "--bundle" not in arguments:
            arguments = [*arguments, "--bundle", mini_bundle]
        done = mobilevd(*arguments, "-o", clip)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
    assert not clip.exists()


def test_ctrl_c_leaves_nothing(mini_bundle, photo, tmp_path):
    """Interrupted while it samples: the UNet's program is mapped by then."""
    command = [sys.executable, "-m", "mobilevd", "generate", str(photo), "-o",
               str(tmp_path / "clip.mp4"), "--bundle", str(mini_bundle),
               "--steps", "900"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while "unet.pte" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message.strip() == "mobilevd: stopped"
    assert list(tmp_path.iterdir()) == []
