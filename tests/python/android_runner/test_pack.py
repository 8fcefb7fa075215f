"""Packages of a tiny build of this machine: whole, complete, started from anywhere."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mobilevd.runtime import runner_path
from small_programs import compile_c

PACK = Path(__file__).parents[3] / "android_runner" / "pack.py"
SHELLS = (("sh",), ("bash", "--posix"))
# What a folder or an argument may be called; the loader takes no path with ':' or ';'.
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0/:;"),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 100)


@pytest.fixture(scope="module")
def package(small_prefix, host_libraries, tmp_path_factory):
    from pack import pack

    bundle = tmp_path_factory.mktemp("pack") / "exported"
    (bundle / "weights").mkdir(parents=True)
    (bundle / "bundle.json").write_text("{}")
    (bundle / "weights" / "w.ptd").write_bytes(b"123")
    folder = bundle.with_name("package")
    pack(small_prefix, folder, [host_libraries], bundle)
    return folder


def start(package: Path, cwd: Path, *arguments: str, shell: tuple[str, ...] = ()) -> list[str]:
    """The program's words: what its library says, its folder, its arguments."""
    command = [*shell, str(package / "mobilevd_runner"), *arguments]
    done = subprocess.run(command, capture_output=True, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split("\0")[:-1]


def test_the_manifest_lists_every_file_with_its_hash(package):
    manifest = json.loads((package / "package.json").read_text())
    assert {k: v for k, v in manifest.items() if k not in ("files", "page_size", "abi")} == {
        "schema": 1,
        "version": "0.1.0",
        "executorch": "1.5.1",
        "os": "linux-gnu",
        "runner": "mobilevd_runner",
        "bundle": "bundle",
    }
    files = manifest["files"]
    there = [p for p in package.rglob("*") if p.is_file() and p.name != "package.json"]
    assert list(files) == sorted(str(p.relative_to(package)) for p in there)
    for path in there:
        described = files[str(path.relative_to(package))]
        data = path.read_bytes()
        assert described["sha256"] == hashlib.sha256(data).hexdigest()
        assert described["bytes"] == len(data)
        assert described["executable"] == (path.stat().st_mode & 0o777 == 0o755)
    assert {"lib/libinner.so", "lib/libouter.so", "lib/libc.so.6", "bin/mobilevd_runner"} < set(
        files
    )
    executable = sorted(name for name, file in files.items() if file["executable"])
    loader = next(name for name in files if name.startswith("lib/ld-linux"))
    assert executable == sorted(["bin/mobilevd_runner", loader, "mobilevd_runner"])


@pytest.mark.aarch64
def test_it_starts_by_the_shell_and_tools_of_a_phone(package, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "readlink").symlink_to("/usr/bin/toybox")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    said = start(package, tmp_path, "--json", "a b.json", shell=("/usr/bin/mksh",))
    assert said == ["found", str(tmp_path), "--json", "a b.json"]


def test_it_starts_by_a_name_without_a_folder_and_through_a_link(package, tmp_path):
    done = subprocess.run(["sh", "mobilevd_runner"], cwd=package, capture_output=True)
    assert done.stdout.startswith(b"found\0"), done.stderr
    link = tmp_path / "run"
    link.symlink_to(package / "mobilevd_runner")
    done = subprocess.run([link], capture_output=True)
    assert done.stdout.startswith(b"found\0"), done.stderr


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(folder=names, arguments=st.lists(names, max_size=3), shell=st.sampled_from(SHELLS))
def test_paths_and_arguments_arrive_as_they_are(package, tmp_path, folder, arguments, shell):
    moved = tmp_path / folder
    package.rename(moved)
    try:
        assert start(moved, tmp_path, *arguments, shell=shell) == [
            "found",
            str(tmp_path),
            *arguments,
        ]
    finally:
        moved.rename(package)


def test_a_path_that_the_loader_would_split_is_refused(package, tmp_path):
    moved = tmp_path / "a:b"
    shutil.copytree(package, moved)
    done = subprocess.run([moved / "mobilevd_runner"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "neither ':' nor ';'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_emulator_in_the_environment_runs_it(package, tmp_path):
    emulator = tmp_path / "my emulator"
    emulator.write_text('#!/bin/sh\nprintf "emulated:%s:" "${1##*/}"\nexec "$@"\n')
    emulator.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "MOBILEVD_EMULATOR": str(emulator)}
    done = subprocess.run([package / "mobilevd_runner"], env=environment, capture_output=True)
    assert done.stdout.startswith(b"emulated:ld-linux"), done.stderr


def command(prefix: Path, output: Path, *search: Path) -> subprocess.CompletedProcess[str]:
    folders = [part for folder in search for part in ("--search", str(folder))]
    line = [sys.executable, str(PACK), str(prefix), "-o", str(output), *folders]
    return subprocess.run(line, capture_output=True, text=True)


def refused(done: subprocess.CompletedProcess[str], output: Path) -> str:
    """The one line; nothing is left."""
    assert done.returncode == 1, done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not output.exists()
    return done.stderr


def test_a_missing_library_is_named_with_who_needs_it(small_prefix, tmp_path):
    prefix = tmp_path / "install"
    shutil.copytree(small_prefix, prefix)
    (prefix / "lib" / "libinner.so").unlink()
    line = refused(command(prefix, tmp_path / "package"), tmp_path / "package")
    assert "libc.so.6" in line or "libinner.so, which libouter.so needs" in line
    assert "--search" in line


@pytest.mark.aarch64
def test_a_library_of_another_processor_is_not_taken(small_prefix, host_libraries, tmp_path):
    first = tmp_path / "other"
    flags = ("-shared", "-nostdlib")
    compile_c("", first / "libc.so.6", *flags, compiler="aarch64-linux-gnu-gcc")
    assert command(small_prefix, tmp_path / "package", first, host_libraries).returncode == 0
    packed = (tmp_path / "package" / "lib" / "libc.so.6").read_bytes()
    assert packed == (host_libraries / "libc.so.6").read_bytes()


def test_a_run_path_of_this_machine_is_refused(small_prefix, host_libraries, tmp_path):
    prefix = tmp_path / "install"
    shutil.copytree(small_prefix, prefix)
    inner = 'const char* inner(void) { return "found"; }'
    compile_c(inner, prefix / "lib" / "libinner.so", "-shared", "-Wl,-rpath,/opt/mine")
    line = refused(command(prefix, tmp_path / "package", host_libraries), tmp_path / "package")
    assert "lib/libinner.so looks for libraries in /opt/mine" in line


@pytest.mark.aarch64
def test_pages_that_are_too_small_are_refused(tmp_path):
    prefix = tmp_path / "install"
    small = ("-nostdlib", "-nostartfiles", "-Wl,-z,max-page-size=4096", "-Wl,-e,main")
    source = "int main(void) { return 0; }"
    compiler = "aarch64-linux-gnu-gcc"
    compile_c(source, prefix / "bin" / "mobilevd_runner", *small, compiler=compiler)
    (prefix / "_build_info.py").write_text('VERSION = "1"\nEXECUTORCH_VERSION = "2"\n')
    line = refused(command(prefix, tmp_path / "package"), tmp_path / "package")
    assert "aligned for pages of 4096 bytes, 16384 are needed" in line


def test_what_is_no_build_and_what_is_no_package_are_left_alone(
    small_prefix, host_libraries, tmp_path
):
    assert "no installed build" in refused(command(tmp_path, tmp_path / "out"), tmp_path / "out")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mobilevd_runner").write_text("#!/bin/sh\n")
    (tmp_path / "_build_info.py").write_text('VERSION = "1"\nEXECUTORCH_VERSION = "2"\n')
    line = refused(command(tmp_path, tmp_path / "out"), tmp_path / "out")
    assert "no program or shared library" in line
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.png").write_text("precious")
    done = command(small_prefix, tmp_path / "photos", host_libraries)
    assert done.returncode == 1
    assert "holds other files" in done.stderr
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["holiday.png"]


def test_a_package_is_packed_anew(package, small_prefix, host_libraries, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(package, again)
    (again / "stale").write_text("of before")
    assert command(small_prefix, again, host_libraries).returncode == 0
    assert not (again / "stale").exists()
    assert json.loads((again / "package.json").read_text())["bundle"] is None


def test_the_installed_build_of_this_machine_may_be_moved():
    from elf_file import read_elf

    prefix = runner_path().parents[1]
    ours = [runner_path(), *sorted((prefix / "lib").glob("*.so*")), *sorted(prefix.glob("_*.so"))]
    assert len(ours) >= 6
    for path in ours:
        elf = read_elf(path)
        assert elf.run_paths, path
        assert elf.absolute_run_paths == (), path
