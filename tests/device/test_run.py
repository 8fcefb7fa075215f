"""`mobilevd device run`: a clip from a device; each trouble has its line, its code, and a cure."""

import json
import time

import numpy as np
import pytest
from mobilevd.device import Device
from mobilevd.runtime.video import read_frames
from stand_in import RESULT, SAYS, frames, result


@pytest.fixture
def run(mobilevd, phone, package, picture, tmp_path):
    """`device run` into tmp_path/clip, a folder of PNGs: exact pixels."""

    def run(*further):
        files = ("-o", tmp_path / "clip", "--json", tmp_path / "run.json")
        serial = ("--serial", phone.serial, "--package", package)
        return mobilevd("device", "run", picture, *files, *serial, *further)

    return run


def on_device(phone, pattern):
    """What the runs left on the device."""
    return sorted(p.name for p in phone.root.inside("/data/local/tmp").rglob(pattern))


def test_a_picture_becomes_a_clip(run, phone, picture, tmp_path):
    flags = ("--seed", 7, "--steps", 2, "--motion-bucket", 90.5, "--noise-aug", 0.1)
    flags += ("--threads", 3, "--max-memory-mb", 99)
    further = ("--contact-sheet", tmp_path / "s.png", "--float-frames", tmp_path / "f.npy")
    ended = run(*flags, *further)
    assert ended.code == 0, ended.err
    assert np.array_equal(read_frames(tmp_path / "clip"), frames())
    assert (tmp_path / "s.png").is_file()
    assert (tmp_path / "f.npy").read_text() == "floats\n"
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["device"]["serial"] == phone.serial
    assert written["device"]["model"] == "Emulated 8 Gen 3"
    assert written["clip"] == "clip"
    assert written["stages"] == result()["stages"]
    arguments = phone.root.inside("/data/arguments").read_text().splitlines()[-1]
    assert "--seed 7 --threads 3 --steps 2 --motion-bucket 90.5 --noise-aug 0.1" in arguments
    assert "--max-memory-mb 99" in arguments
    assert "--fps" not in arguments
    assert on_device(phone, "runs/*") == []  # nothing is left behind
    assert "100" in ended.out


def test_a_second_run_sends_nothing_again(run, phone):
    assert run().code == 0
    sent = phone.root.inside("/data/local/tmp").rglob("mobilevd_runner")
    before = [path.stat().st_mtime_ns for path in sent]
    phone.commands.clear()
    assert run().code == 0
    sent = phone.root.inside("/data/local/tmp").rglob("mobilevd_runner")
    assert [path.stat().st_mtime_ns for path in sent] == before
    assert not any("mv -f" in line for line in phone.commands)


def test_packed_weights_outlive_the_next_push(run, mobilevd, phone):
    """Beside the package's bundle they would be among what a push calls stale."""
    kept = "/data/local/tmp/mobilevd-test/cache/unet.packed"
    for written in ("packed\n", "packed\npacked\n"):
        assert run("--folder", "test").code == 0
        assert phone.root.inside(kept).read_text() == written
    assert mobilevd("device", "clean", "--folder", "test", "--serial", phone.serial).code == 0
    assert on_device(phone, "*") == []


def attached_again(emulator, phone):
    """Also after a reboot, which takes a moment."""
    for _ in range(100):
        emulator.attach(phone)
        if Device(phone.serial).state() == "device":
            return
        time.sleep(0.1)


TROUBLE = {
    "killed": ({"kill": "mobilevd_runner --bundle"}, 3, "the runner was killed (exit code 137)"),
    "hung": ({"hang": "mobilevd_runner --bundle"}, 3, "the runner did not end within 2 s"),
    "unplugged while it runs": ({"disconnect": "mobilevd_runner --bundle"}, 3, "went away during"),
    "unplugged while pulling": ({"disconnect_sent": 1}, 3, "went away during pull of"),
    "garbled result": (
        {"garble": "cat /data/local/tmp/mobilevd-test/runs"},
        3,
        "is cut off or garbled: try again",
    ),
    "garbled digest": ({"garble": "sha256sum -b /data/local/tmp/mobilevd-test/runs"}, 3, "sha256"),
    "rebooting": ({"reboot": "mobilevd_runner --bundle"}, 3, "went away during"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_has_a_line_and_a_rerun_completes(run, phone, emulator, tmp_path, name):
    faults, code, line = TROUBLE[name]
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/frame_0000.png").write_bytes(b"older")
    for fault, value in faults.items():
        setattr(phone.faults, fault, value)
    ended = run("--folder", "test", "--timeout", 2)
    assert ended.code == code
    assert line in " ".join(ended.err.split())
    assert ended.err.count("mobilevd: ") == 1
    assert phone.serial in ended.err
    assert "Traceback" not in ended.err
    # Neither half a clip nor a changed result.
    assert (tmp_path / "clip/frame_0000.png").read_bytes() == b"older"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip"]
    attached_again(emulator, phone)
    assert run("--folder", "test").code == 0
    assert np.array_equal(read_frames(tmp_path / "clip"), frames())


@pytest.mark.parametrize(
    ("script", "code", "line"),
    [
        ("echo 'mobilevd_runner: bundle.json is damaged' >&2; exit 1", 1, "bundle.json is damaged"),
        ("echo 'mobilevd_runner: --steps must be 4' >&2; exit 2", 2, "--steps must be 4"),
        ("echo 'cannot locate symbol' >&2; exit 127", 3, "cannot start the runner (cannot locate"),
        ("kill -SEGV $$", 3, "it ended by SIGSEGV"),
        ("exit 9", 3, "the runner failed (9): exit code 9"),
    ],
)
def test_the_runners_own_errors_are_handed_on(run, phone, tmp_path, script, code, line):
    phone.root.inside(SAYS).write_text(script)
    ended = run()
    phone.root.inside(SAYS).unlink()
    assert ended.code == code
    assert f"{phone.serial}" in ended.err
    assert line in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "no JSON"),
        ("[]", "not a result"),
        (json.dumps({**result(), "total_ms": None}), "total_ms is missing"),
        (json.dumps({**result(), "stages": {"unet": 1}}), "stage unet is no table"),
    ],
)
def test_a_result_that_makes_no_sense(run, phone, tmp_path, text, line):
    phone.root.inside(RESULT).write_text(text)
    ended = run()
    phone.root.inside(RESULT).unlink()
    assert ended.code == 3
    assert line in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_full_device(run, phone, tmp_path):
    assert run("--folder", "test").code == 0
    phone.root.fill()
    ended = run("--folder", "test")
    assert ended.code == 3
    assert "is full" in ended.err
    assert "mobilevd device clean" in ended.err
    phone.root.empty()
    assert run("--folder", "test").code == 0


def test_a_runner_that_hangs_does_not_go_on(run, phone, device):
    phone.root.inside(SAYS).write_text("exec sleep 77")
    ended = run("--timeout", 1)
    phone.root.inside(SAYS).unlink()
    assert ended.code == 3
    assert "the runner did not end within 1 s: give it longer by --timeout" in ended.err
    assert "sleep 77" not in device.shell(["ps", "-A", "-o", "ARGS"]).text


def test_bad_usage_is_said_before_anything_is_sent(run, phone, package, tmp_path):
    for flags, line in [
        (("--seed", -1), "--seed must be from 0"),
        (("--steps", 1001), "--steps must be from 1 to 1000, not 1001"),
        (("--threads", 1025), "--threads must be from 1 to 1024, not 1025"),
        (("--fps", 0.5), "--fps must be from 1 to 1000, not 0.5"),
        (("--fps", "nan"), "--fps must be from 1 to 1000, not nan"),
        (("--motion-bucket", 1024), "--motion-bucket must be from 0 to 1023, not 1024"),
        (("--noise-aug", 10.5), "--noise-aug must be from 0 to 10, not 10.5"),
        (("--timeout", 0), "--timeout must be above 0"),
        (("--all",), "--all and --serial exclude each other"),
        (("--package", tmp_path), "no package.json"),
        (("--bundle", tmp_path), "no bundle.json"),
        (("--folder", "../x"), "no name for a folder"),
    ]:
        ended = run(*flags)
        assert ended.code in (1, 2), ended
        assert line in ended.err
    assert not any("mkdir" in line for line in phone.commands)


def test_a_file_that_cannot_be_made_is_refused_before_anything_is_sent(run, phone, tmp_path):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").touch()
    for flag, name, line in [
        ("--json", "folder.json", "folder.json is a folder"),
        ("--json", "file/run.json", "there is no folder"),
        ("--junit", "folder.json", "folder.json is a folder"),
        ("--junit", "file/new/junit.xml", "there is no folder"),
        ("--contact-sheet", "none/sheet.png", "there is no folder"),
        ("--float-frames", "none/frames.npy", "there is no folder"),
    ]:
        ended = run(flag, tmp_path / name)
        assert ended.code == 2, ended
        assert f"mobilevd: {flag}: " in ended.err
        assert line in ended.err
        assert len(ended.err.splitlines()) == 1
    assert not any("mkdir" in line for line in phone.commands)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.json"]


def test_folders_above_figures_are_made(run, tmp_path):
    ended = run("--json", tmp_path / "a/b/run.json", "--junit", tmp_path / "c/junit.xml")
    assert ended.code == 0, ended.err
    assert (tmp_path / "a/b/run.json").is_file()
    assert (tmp_path / "c/junit.xml").is_file()
