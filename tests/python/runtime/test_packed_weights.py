"""Packed weights kept in a file: the same frames, never from a wrong file, no harm between runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mobilevd.runtime import Error, Pipeline, UsageError, runner_path
from toy_bundle import STAGES, write_toy_bundle

LARGE = 100 << 20  # weights of a stage for which the user's cache folder is worth it


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with its weights outside the programs."""
    return write_toy_bundle(tmp_path_factory.mktemp("bundle") / "toy", outside=True)


@pytest.fixture
def clip(runner, photo, tmp_path) -> Callable[..., tuple[bytes, dict[str, str], str]]:
    """Make a clip: its bytes, the state of every stage's packed weights, what was said."""

    def make(bundle: Path, *flags: Any, **environment: str) -> tuple[bytes, dict[str, str], str]:
        output, result = tmp_path / "clip.y4m", tmp_path / "result.json"
        done = runner(
            *("--bundle", bundle, "--image", photo, "--output", output, "--json", result, *flags),
            env={**os.environ, **environment},
        )
        assert done.returncode == 0, done.stderr
        stages = json.loads(result.read_text())["stages"]
        return (
            output.read_bytes(),
            {name: stage["packed_weights"] for name, stage in stages.items()},
            done.stderr,
        )

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packed"


@pytest.fixture
def plain(clip, bundle) -> bytes:
    """The clip without any of this."""
    frames, states, said = clip(bundle, "--packed-weights", "none")
    assert set(states.values()) == {"off"}
    assert said == ""
    return frames


def kept(folder: Path) -> dict[str, os.stat_result]:
    return {f.name: f.stat() for f in folder.iterdir() if f.suffix == ".packed"}


def check_kept(folder: Path) -> None:
    """One whole file a stage and nothing unfinished."""
    names = sorted(f.name for f in folder.iterdir() if f.name != ".lock")
    assert [n.split("-")[2] for n in names] == sorted(STAGES)
    for name in names:
        assert re.fullmatch(r"toy-fp32-\w+-[0-9a-f]{16}-[0-9a-f]{16}\.packed", name)
        assert not (folder / name).stat().st_mode & 0o222  # nobody writes into it again


def test_the_first_run_writes_and_the_next_reads_the_same_frames(clip, bundle, folder, plain):
    first, states, said = clip(bundle, "--packed-weights", folder)
    assert set(states.values()) == {"written"}
    assert said == ""
    check_kept(folder)
    before = kept(folder)
    second, states, said = clip(bundle, "--packed-weights", folder, "--verbose")
    assert set(states.values()) == {"read"}
    assert said.count("Loaded packed weight cache") == len(STAGES)
    assert first == second == plain
    assert {n: s.st_mtime_ns for n, s in kept(folder).items()} == {
        n: s.st_mtime_ns for n, s in before.items()
    }


def test_python_reads_what_the_runner_wrote(clip, bundle, folder, photo, plain):
    clip(bundle, "--packed-weights", folder)
    expected = Pipeline(bundle).generate(photo).frames
    pipeline = Pipeline(bundle, packed_weights=folder, keep_loaded=True)
    for _ in range(2):
        made = pipeline.generate(photo)
        np.testing.assert_array_equal(made.frames, expected)
        assert {s["packed_weights"] for s in made.stats["stages"].values()} == {"read"}
    # While it holds them mapped, another process maps them, too.
    frames, _, said = clip(bundle, "--packed-weights", folder, "--verbose")
    assert said.count("Loaded packed weight cache") == len(STAGES)
    assert frames == plain


def flip(content: bytes) -> bytes:
    return content[:40] + bytes([content[40] ^ 1]) + content[41:]


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"",
        lambda content: content[:-12] + b"\xff\xff" + content[-10:],  # the count of entries
    ],
    ids=["bit", "half", "cut", "longer", "empty", "index"],
)
def test_a_damaged_file_is_written_anew(clip, bundle, folder, plain, damage):
    clip(bundle, "--packed-weights", folder)
    before = kept(folder)
    for name in before:
        content = (folder / name).read_bytes()
        (folder / name).chmod(0o600)
        (folder / name).write_bytes(damage(content))
    frames, states, _ = clip(bundle, "--packed-weights", folder)
    assert set(states.values()) == {"written"}
    assert frames == plain
    check_kept(folder)
    assert kept(folder).keys() == before.keys()  # the same content, so the same names
    assert set(clip(bundle, "--packed-weights", folder)[1].values()) == {"read"}


def test_other_weights_do_not_find_it(clip, bundle, folder, tmp_path):
    """As after a new export to the same place."""
    clip(bundle, "--packed-weights", folder)
    before = kept(folder)
    changed = tmp_path / "changed"
    shutil.copytree(bundle, changed)
    manifest = json.loads((changed / "bundle.json").read_text())
    weights = bytearray((changed / "unet.ptd").read_bytes())
    weights[-64] ^= 1  # of the last weight
    (changed / "unet.ptd").write_bytes(weights)
    manifest["files"]["unet.ptd"]["sha256"] = hashlib.sha256(weights).hexdigest()
    (changed / "bundle.json").write_text(json.dumps(manifest))
    frames, states, _ = clip(changed, "--packed-weights", folder)
    assert states == {name: "written" if name == "unet" else "read" for name in STAGES}
    assert frames == clip(changed, "--packed-weights", "none")[0]
    check_kept(folder)  # the older one went
    assert len(before.keys() - kept(folder).keys()) == 1


def test_processes_that_write_at_once(bundle, folder, photo, tmp_path, plain):
    command = [runner_path(), "--bundle", bundle, "--image", photo, "--packed-weights", folder]
    clips = [tmp_path / f"clip{i}.y4m" for i in range(4)]
    running = [subprocess.Popen([*command, "--output", path]) for path in clips]
    assert [process.wait(120) for process in running] == [0] * len(running)
    assert {path.read_bytes() for path in clips} == {plain}
    check_kept(folder)


def test_what_a_killed_run_left_is_cleared(clip, bundle, folder):
    folder.mkdir()
    child = subprocess.Popen(["true"])
    child.wait()
    (folder / f".tmp.{child.pid}.0").write_bytes(b"half")
    mine = folder / f".tmp.{os.getpid()}.0"  # of a process that lives
    mine.write_bytes(b"half")
    clip(bundle, "--packed-weights", folder)
    mine.unlink()
    check_kept(folder)


def test_a_load_that_fails_leaves_no_file(runner, bundle, folder, photo, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    manifest = json.loads((broken / "bundle.json").read_text())
    shutil.copy(broken / "vae_encoder.ptd", broken / "unet.ptd")
    manifest["files"]["unet.ptd"] = manifest["files"]["vae_encoder.ptd"]
    (broken / "bundle.json").write_text(json.dumps(manifest))
    flags = ("--bundle", broken, "--image", photo, "--output", tmp_path / "clip.y4m")
    done = runner(*flags, "--packed-weights", folder)
    assert done.returncode == 1
    assert "stage 'unet': loading unet.pte failed" in done.stderr
    assert done.stderr.count("\n") == 1
    names = {f.name.split("-")[2] for f in folder.iterdir() if f.name != ".lock"}
    assert names == {"image_encoder", "vae_encoder"}


def test_a_folder_that_cannot_be_is_refused(runner, bundle, photo, tmp_path):
    (tmp_path / "file").touch()
    for where in (tmp_path / "file", tmp_path / "file" / "packed", Path("/proc/packed")):
        output = tmp_path / "clip.y4m"
        flags = ("--bundle", bundle, "--image", photo, "--output", output)
        done = runner(*flags, "--packed-weights", where)
        assert done.returncode == 2
        assert f"cannot keep packed weights in {where}" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not output.exists()
        with pytest.raises(UsageError, match="cannot keep packed weights in"):
            Pipeline(bundle, packed_weights=where)


@pytest.fixture
def large(bundle, tmp_path) -> Callable[[int], Path]:
    """The toy whose bundle.json says that its UNet has so many bytes of weights."""

    def make(weight_bytes: int) -> Path:
        copy = tmp_path / f"large-{weight_bytes}"
        shutil.copytree(bundle, copy)
        manifest = json.loads((copy / "bundle.json").read_text())
        manifest["stages"]["unet"]["weight_bytes"] = weight_bytes
        (copy / "bundle.json").write_text(json.dumps(manifest))
        return copy

    return make


def test_by_default_large_stages_go_to_the_users_cache(clip, bundle, large, tmp_path, plain):
    cache = tmp_path / "cache"
    _, states, _ = clip(bundle, XDG_CACHE_HOME=str(cache))
    assert set(states.values()) == {"off"}
    assert not cache.exists()
    for state in ("written", "read"):
        frames, states, said = clip(large(LARGE), XDG_CACHE_HOME=str(cache))
        assert states == {name: state if name == "unet" else "off" for name in STAGES}
        assert frames == plain
        assert said == ""
        shutil.rmtree(tmp_path / f"large-{LARGE}")
    (name,) = kept(cache / "mobilevd" / "packed")
    assert name.startswith("toy-fp32-unet-")


@pytest.mark.parametrize("home", ["", "/"])
def test_without_a_user_they_lie_beside_the_bundle(clip, large, tmp_path, plain, home):
    for state in ("written", "read"):
        place = large(LARGE)
        frames, states, said = clip(f"{place}/", XDG_CACHE_HOME="", HOME=home)
        assert (states["unet"], said) == (state, "")
        assert frames == plain
        shutil.rmtree(place)
    assert len(kept(tmp_path / ".packed")) == 1


@pytest.mark.parametrize(
    ("weight_bytes", "cache", "says"),
    [
        (LARGE, "/proc/none", "cannot make /proc/none/mobilevd/packed"),
        (LARGE, "long", "is too long for packed weights"),
        (1 << 49, "cache", "packed weights need 603979792 MB in"),
    ],
    ids=["unwritable", "long path", "full disk"],
)
def test_without_a_place_it_runs_and_says_so(
    clip, large, tmp_path, plain, weight_bytes, cache, says
):
    where = {"long": str(tmp_path / ("x" * 240)), "cache": str(tmp_path / "cache")}.get(
        cache, cache
    )
    frames, states, said = clip(large(weight_bytes), XDG_CACHE_HOME=where)
    assert set(states.values()) == {"off"}
    assert frames == plain
    assert said.startswith("mobilevd_runner: stage 'unet' packed its weights in memory: ")
    assert says in said
    assert said.count("\n") == 1


def test_the_estimate_knows_what_is_packed_already(clip, bundle, large, folder, photo):
    """Packing takes the weights as they are and as they become; mapping only the latter."""
    needs = large(LARGE)
    manifest = json.loads((needs / "bundle.json").read_text())
    manifest["stages"]["unet"]["delegates"] = [
        {"bytes": LARGE // 4, "flops": 1},
        {"bytes": LARGE, "flops": 1},
    ]
    (needs / "bundle.json").write_text(json.dumps(manifest))
    Pipeline(needs, packed_weights=folder, max_memory_mb=2 * (LARGE >> 20) + 30)
    limit = (LARGE >> 20) + 30
    with pytest.raises(Error, match=rf"needs about 2\d\d MB, more than the allowed {limit} MB"):
        Pipeline(needs, packed_weights=folder, max_memory_mb=limit)
    clip(needs, "--packed-weights", folder)
    Pipeline(needs, packed_weights=folder, max_memory_mb=limit).generate(photo)
