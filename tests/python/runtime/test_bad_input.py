"""Bad input: one clear line, exit code 1 or 2, nothing half-written."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from mobilevd import _runtime
from mobilevd.runtime import Error, Pipeline, UsageError, noise, runner_path
from PIL import Image
from toy_bundle import UNET_INPUTS, RefusedUnet, lower


def check_refused(result: subprocess.CompletedProcess[str], code: int, text: str) -> None:
    assert result.returncode == code, result.stderr
    assert text in result.stderr
    assert result.stderr.startswith("mobilevd_runner: ")
    assert result.stderr.count("\n") == 1, result.stderr


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--threads", "0"], "--threads: must be a whole number from 1"),
        (["--threads", "-2"], "not -2"),
        (["--seed", "-1"], "--seed: must be a whole number from 0"),
        (["--seed", "1.5"], "not 1.5"),
        (["--seed", str(2**64)], "18446744073709551615"),
        (["--seed", "0x10"], "not 0x10"),
        (["--steps", "0"], "--steps: must be a whole number from 1"),
        (["--steps", "1001"], "to 1000"),
        (["--repeat", "0"], "--repeat"),
        (["--warmup", str(2**30)], "--warmup: must be a whole number from 0 to 1000000"),
        (["--max-memory-mb", "0"], "--max-memory-mb"),
        (["--fps", "fast"], "--fps"),
        (["--fps", "0"], "fps must be between 1"),
        (["--fps", "nan"], "fps must be between 1"),
        (["--noise-aug", "-1"], "noise-aug must be between 0"),
        (["--motion-bucket", "1e9"], "motion-bucket must be between 0"),
        (["--stage", "nope"], "takes neither"),
        (["--bundle", "/no/where"], "no folder /no/where"),
        (["--image", "/no/photo.jpg"], "no file /no/photo.jpg"),
        (["--output", "/no/where/clip.y4m"], "no folder /no/where"),
        (["--output", "clip.mp4"], "mobilevd generate"),
        (["--json", "/no/where/result.json"], "no folder /no/where"),
        (["--etdump", "/no/where/trace"], "no folder /no/where"),
        (["--frobnicate"], "--frobnicate"),
        (["--seed"], "--seed"),
    ],
)
def test_bad_flags_exit_2(runner, bundle, photo, tmp_path, flags, text):
    good = {"--bundle": bundle, "--image": photo, "--output": tmp_path / "clip"}
    good.pop(flags[0], None)
    check_refused(runner(*(x for pair in good.items() for x in pair), *flags), 2, text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("photos", "holds other files (holiday.png)"),
        ("file", "exists and is no folder"),
        ("folder.y4m", "is a folder"),
    ],
)
def test_an_output_in_the_way_is_refused_before_loading(
    runner, edited_bundle, photo, tmp_path, name, text
):
    # A bundle that would be refused in its turn: so nothing was loaded yet.
    broken = edited_bundle(lambda bundle: bundle.update(schema_version=1))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.png").touch()
    (tmp_path / "folder.y4m").mkdir()
    (tmp_path / "file").touch()
    result = runner("--bundle", broken, "--image", photo, "--output", tmp_path / name)
    check_refused(result, 2, text)
    assert os.listdir(tmp_path / "photos") == ["holiday.png"]


def test_the_working_folder_is_refused_before_loading(runner, edited_bundle, photo, tmp_path):
    broken = edited_bundle(lambda bundle: bundle.update(schema_version=1))
    (tmp_path / "here").mkdir()
    flags = ("--bundle", broken, "--image", photo, "--output", ".")
    check_refused(runner(*flags, cwd=tmp_path / "here"), 2, "output . is the working folder")


def test_json_that_is_a_folder(runner, bundle, tmp_path):
    result = runner("--bundle", bundle, "--stage", "unet", "--json", tmp_path)
    check_refused(result, 2, f"--json: {tmp_path} is a folder")


@pytest.mark.parametrize("flag", ["--bundle", "--image", "--output"])
def test_missing_flags_exit_2(runner, bundle, photo, tmp_path, flag):
    flags = {"--bundle": bundle, "--image": photo, "--output": tmp_path / "clip"}
    del flags[flag]
    check_refused(runner(*(x for pair in flags.items() for x in pair)), 2, f"{flag} is required")


def check_both_refuse(runner, folder: Path, photo: Path, tmp_path: Path, text: str) -> None:
    output = tmp_path / "clip"
    result = runner("--bundle", folder, "--image", photo, "--output", output)
    check_refused(result, 1, text)
    assert not output.exists()
    with pytest.raises(Error) as caught:
        Pipeline(folder).generate(photo)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(runner, edited_bundle, photo, tmp_path):
    folder = edited_bundle(lambda bundle: None)
    (folder / "unet.pte").unlink()
    check_both_refuse(runner, folder, photo, tmp_path, "unet.pte is missing")


def test_wrong_sha256(runner, edited_bundle, photo, tmp_path):
    folder = edited_bundle(lambda bundle: None)
    program = bytearray((folder / "unet.pte").read_bytes())
    program[len(program) // 2] ^= 1
    (folder / "unet.pte").write_bytes(program)
    check_both_refuse(runner, folder, photo, tmp_path, "unet.pte does not have the sha256")


def test_a_stage_by_itself_asks_for_no_other_file(runner, edited_bundle, tmp_path):
    folder = edited_bundle(lambda bundle: None)
    (folder / "unet.pte").unlink()
    fine = runner("--bundle", folder, "--stage", "vae_decoder", "--packed-weights", "none")
    assert fine.returncode == 0, fine.stderr
    check_refused(runner("--bundle", folder, "--stage", "unet"), 1, "unet.pte is missing")
    check_refused(runner("--bundle", folder, "--stage", "nope"), 2, "no stage 'nope'")


def test_wrong_size(runner, edited_bundle, photo, tmp_path):
    folder = edited_bundle(lambda bundle: None)
    with (folder / "unet.pte").open("ab") as program:
        program.write(b"x")
    check_both_refuse(runner, folder, photo, tmp_path, "bundle.json says")


def test_unknown_schema_version(runner, edited_bundle, photo, tmp_path):
    folder = edited_bundle(lambda bundle: bundle.update(schema_version=1))
    check_both_refuse(runner, folder, photo, tmp_path, "schema_version 1, this runtime reads 2")


def test_other_executorch(runner, edited_bundle, photo, tmp_path):
    folder = edited_bundle(lambda bundle: bundle.update(executorch_version="2.0.0"))
    check_both_refuse(runner, folder, photo, tmp_path, "exported with ExecuTorch 2.0.0")


def test_missing_op_is_named(runner, edited_bundle, photo, tmp_path):
    folder = edited_bundle(
        lambda bundle: bundle["stages"]["unet"]["required_ops"].append("mobilevd::warp.out")
    )
    text = "stage 'unet' needs ops that no library here registers: mobilevd::warp.out"
    check_both_refuse(runner, folder, photo, tmp_path, text)


def test_shapes_that_differ_from_the_program(runner, edited_bundle, photo, tmp_path):
    def other_encoder_size(bundle):
        bundle["stages"]["image_encoder"]["inputs"][0]["shape"] = [1, 3, 9, 9]

    folder = edited_bundle(other_encoder_size)
    check_both_refuse(runner, folder, photo, tmp_path, "tensor 'image' of bundle.json and of")


def test_a_program_that_is_none(runner, edited_bundle, photo, tmp_path):
    def replace(bundle):
        bundle["files"]["unet.pte"] = {"bytes": 4, "sha256": hashlib.sha256(b"none").hexdigest()}

    folder = edited_bundle(replace)
    (folder / "unet.pte").write_bytes(b"none")
    check_both_refuse(runner, folder, photo, tmp_path, "unet.pte is no ExecuTorch program")


def test_a_kernels_own_words_reach_the_user(runner, edited_bundle, photo, tmp_path):
    program, _ = lower(RefusedUnet(), UNET_INPUTS)
    digest = hashlib.sha256(program).hexdigest()
    folder = edited_bundle(
        lambda bundle: bundle["files"].update(
            {"unet.pte": {"bytes": len(program), "sha256": digest}}
        )
    )
    (folder / "unet.pte").write_bytes(program)
    result = runner("--bundle", folder, "--image", photo, "--output", tmp_path / "clip")
    check_refused(result, 1, "group_norm_silu: eps must be positive and finite")


def test_an_isa_that_is_none_is_refused_at_once(runner, bundle, tmp_path):
    flags = ("--bundle", bundle, "--stage", "vae_encoder")  # which has no op of ours
    result = runner(*flags, env={**os.environ, "MOBILEVD_ISA": "neonn"})
    check_refused(result, 2, "MOBILEVD_ISA=neonn is not an ISA of this CPU and build; they have: ")


def test_no_bundle_there(runner, photo, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    check_both_refuse(runner, empty, photo, tmp_path, "bundle.json: No such file")


def test_nan_names_the_stage(runner, nan_bundle, photo, tmp_path):
    check_both_refuse(runner, nan_bundle, photo, tmp_path, "stage 'unet' gave NaN or Inf")


def test_too_little_memory(runner, bundle, photo, tmp_path):
    output = tmp_path / "clip"
    flags = ("--bundle", bundle, "--image", photo, "--output", output)
    check_refused(runner(*flags, "--max-memory-mb", 3), 1, "needs about")
    assert runner(*flags, "--max-memory-mb", 2000).returncode == 0
    with pytest.raises(Error, match="more than the allowed 3 MB"):
        Pipeline(bundle, max_memory_mb=3)


def test_truncated_image(runner, bundle, photo, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(photo.read_bytes()[:5000])
    result = runner("--bundle", bundle, "--image", cut, "--output", tmp_path / "clip")
    check_refused(result, 1, f"image {cut} is truncated or damaged")
    assert os.listdir(tmp_path) == ["cut.jpg"]


def test_a_picture_beyond_the_memory_allowed(runner, bundle, tmp_path):
    large = tmp_path / "large.png"
    Image.new("L", (4000, 3000)).save(large)
    flags = ("--bundle", bundle, "--image", large, "--output", tmp_path / "clip")
    result = runner(*flags, "--max-memory-mb", 60)
    check_refused(result, 1, "has 4000 x 3000 pixels and needs about 115 MB, more than the allowed")
    assert runner(*flags, "--max-memory-mb", 120).returncode == 0


def test_empty_image(runner, bundle, tmp_path):
    empty = tmp_path / "photo.jpg"
    empty.touch()
    result = runner("--bundle", bundle, "--image", empty, "--output", tmp_path / "clip")
    check_refused(result, 1, f"cannot read image {empty}: the file is empty")
    with pytest.raises(Error, match=r"photo\.jpg: the file is empty$"):
        Pipeline(bundle).generate(empty)


def test_full_device(runner, bundle, photo, tmp_path):
    full = tmp_path / "clip.y4m"
    full.symlink_to("/dev/full")
    result = runner("--bundle", bundle, "--image", photo, "--output", full)
    check_refused(result, 1, "No space left on device")
    assert full.is_symlink()


@pytest.mark.parametrize("name", ["clip.y4m", "clip"])
def test_file_too_large_keeps_the_old_clip(bundle, photo, tmp_path, name):
    """As on a full disk: writing stops in the middle."""
    output = tmp_path / name
    arguments = [runner_path(), "--bundle", bundle, "--image", photo, "--output", output]
    subprocess.run(arguments, check=True)
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    limited = subprocess.run(
        [*arguments, "--seed", "9"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
        capture_output=True,
        text=True,
    )
    check_refused(limited, 1, "File too large")
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root")
def test_full_disk(runner, bundle, photo, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this sandbox does not allow mounting a tmpfs")
    try:
        result = runner("--bundle", bundle, "--image", photo, "--output", disk / "clip.y4m")
        check_refused(result, 1, "No space left on device")
        assert os.listdir(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**64}, "seed must be"),
        ({"steps": 0}, "steps must be"),
        ({"fps": 0.5}, "fps must be"),
        ({"fps": float("nan")}, "fps must be"),
        ({"steps": 3_000_000_000}, "steps must be from 1 to 1000, not 3000000000"),
        ({"motion_bucket": -1}, "motion-bucket must be"),
    ],
)
def test_bad_arguments_are_usage_errors(bundle, photo, arguments, text):
    with pytest.raises(UsageError, match=text) as caught:
        Pipeline(bundle).generate(photo, **arguments)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["threads", "max_memory_mb"])
@pytest.mark.parametrize("value", [-1, 2**31, 2**64])
def test_bad_settings_are_usage_errors(bundle, name, value):
    with pytest.raises(UsageError, match=f"^{name} must be from 0 to .*, not {value}$"):
        Pipeline(bundle, **{name: value})


def test_bad_noise_is_a_usage_error():
    with pytest.raises(UsageError, match="seed must be"):
        noise(-1, 0, (2,))
    with pytest.raises(UsageError, match="stream must be"):
        noise(0, 2**32, (2,))


def test_the_native_module_tells_usage_from_data(bundle, tmp_path):
    with pytest.raises(UsageError, match="steps must be"):
        _runtime.sigmas(_runtime.SamplingSpec(steps=0))
    with pytest.raises(UsageError, match="threads must be"):
        _runtime.Pipeline(str(bundle), threads=-1)
    with pytest.raises(Error):
        _runtime.Pipeline(str(tmp_path))
    assert not issubclass(Error, ValueError)
