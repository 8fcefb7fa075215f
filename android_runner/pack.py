"""Pack the runner and every library it needs into one folder that starts from anywhere.

The folder holds ``package.json``, written last, and the files that it lists::

    {
     "schema": 1,
     "version": "0.1.0",                     of MobileVD
     "executorch": "1.5.1",
     "abi": "arm64-v8a",                     as Android names it: arm64-v8a, x86_64
     "os": "android",                        or "linux-gnu": glibc, with its own loader
     "page_size": 16384,                     the smallest alignment of any LOAD segment
     "runner": "mobilevd_runner",            what to start, relative to the folder
     "bundle": "bundle",                     folder of the bundle, or null
     "files": {"lib/libmobilevd_ops.so": {"sha256": "...", "bytes": 1, "executable": false}, ...}
    }

``files`` are all files below the folder except ``package.json``, by relative path with "/", sorted;
files with ``executable`` get mode 0755, the others 0644. There are no links.

``runner`` is started with the runner's own arguments and the caller's working directory. For
``linux-gnu`` it is a script of /bin/sh that starts the packed loader with the packed libraries; for
``android`` the program itself, whose run path is relative. Where the CPU cannot run the files,
``MOBILEVD_EMULATOR`` in the script's environment names the program to run them by
(``qemu-aarch64-static``; one word, found on the PATH).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from elf_file import ElfFile, read_elf
from libraries import ANDROID_SYSTEM, needed_libraries
from mobilevd.whole_files import whole_folder, write_text

SCHEMA = 1
ABIS = {"EM_AARCH64": "arm64-v8a", "EM_X86_64": "x86_64"}
PAGE_SIZES = {"arm64-v8a": 16384, "x86_64": 4096}  # what Android asks for, and the kernel's
MANIFEST = "package.json"
RUNNER = Path("bin/mobilevd_runner")
START_SCRIPT = Path(__file__).with_name("start.sh")


class PackError(ValueError):
    """One line: what is wrong and what to do."""


def pack(
    prefix: Path, target: Path, search: Sequence[Path] = (), bundle: Path | None = None
) -> dict[str, Any]:
    """Write the package of an installed build and return its manifest.

    Parameters
    ----------
    prefix
        Where ``cmake --install`` put a build: ``bin/mobilevd_runner``, ``lib/``.
    target
        The package, whole or not at all; an older package there is replaced, other things not.
    search
        Folders of libraries besides ``prefix``/lib, in order.
    bundle
        Folder that ``mobilevd export`` wrote, to go along.

    Raises
    ------
    PackError, MissingLibraryError, NotElfError
        The build is for no phone, a library is missing, or a file would not start from anywhere.
    ValueError
        The target holds other things.
    """
    if bundle is not None and not (bundle / "bundle.json").is_file():
        raise PackError(f"{bundle} is no bundle: it has no bundle.json (mobilevd export writes it)")
    versions = _versions(prefix)
    program = read_elf(prefix / RUNNER)
    android = "/system/" in (program.interpreter or "")
    abi = ABIS.get(program.machine)
    if abi is None or program.interpreter is None:
        raise PackError(f"{prefix / RUNNER} is for {program.machine}, not for {' or '.join(ABIS)}")
    libraries = needed_libraries(
        prefix / RUNNER, [prefix / "lib", *search], ANDROID_SYSTEM if android else frozenset()
    )
    elfs = {str(RUNNER): program} | {f"lib/{name}": elf for name, (_, elf) in libraries.items()}
    page_size = _check(elfs, PAGE_SIZES[abi])
    loader = Path(program.interpreter).name
    if not android and loader not in libraries:
        raise PackError(f"{loader} is needed by no library, so it was not found; is this glibc?")

    with whole_folder(target, _may_replace) as folder:
        _copy(prefix / RUNNER, folder / RUNNER, executable=True)
        for name, (path, _) in libraries.items():
            _copy(path, folder / "lib" / name, executable=name == loader)
        if not android:
            script = START_SCRIPT.read_text().replace("@LOADER@", loader)
            (folder / "mobilevd_runner").write_text(script)
            (folder / "mobilevd_runner").chmod(0o755)
        if bundle is not None:
            for path in sorted(bundle.rglob("*")):
                if path.is_file():
                    _copy(path, folder / "bundle" / path.relative_to(bundle), executable=False)
        manifest = {
            "schema": SCHEMA,
            **versions,
            "abi": abi,
            "os": "android" if android else "linux-gnu",
            "page_size": page_size,
            "runner": str(RUNNER) if android else "mobilevd_runner",
            "bundle": None if bundle is None else "bundle",
            "files": {
                str(path.relative_to(folder)): _describe(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
        }
        write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _may_replace(folder: Path) -> bool:
    return not any(folder.iterdir()) or (folder / MANIFEST).is_file()


def _versions(prefix: Path) -> dict[str, str]:
    """Of what was built, as the build wrote it down (cmake/build_info.py.in)."""
    try:
        text = (prefix / "_build_info.py").read_text()
    except OSError:
        raise PackError(
            f"{prefix} is no installed build: it has no _build_info.py (cmake --install writes it)"
        ) from None
    found = dict(re.findall(r'^(\w+) = "(.*)"$', text, re.MULTILINE))
    return {"version": found["VERSION"], "executorch": found["EXECUTORCH_VERSION"]}


def _check(elfs: dict[str, ElfFile], page_size: int) -> int:
    """The smallest alignment. Raises PackError for a file that would not start everywhere."""
    for name, elf in elfs.items():
        if elf.alignment < page_size:
            raise PackError(
                f"{name} is aligned for pages of {elf.alignment} bytes, {page_size} are needed: "
                f"link it with -Wl,-z,max-page-size={page_size}"
            )
        if elf.absolute_run_paths:
            raise PackError(
                f"{name} looks for libraries in {', '.join(elf.absolute_run_paths)}, which other "
                "machines lack: pack what `cmake --install` wrote"
            )
    return min(elf.alignment for elf in elfs.values())


def _copy(source: Path, target: Path, executable: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)  # follows links
    target.chmod(0o755 if executable else 0o644)


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    status = path.stat()
    return {
        "sha256": digest,
        "bytes": status.st_size,
        "executable": bool(status.st_mode & 0o100),
    }


def main(
    prefix: Annotated[Path, typer.Argument(help="Where cmake --install put the build")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the package")],
    search: Annotated[
        list[Path] | None, typer.Option(help="Folder of further libraries; repeatable")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle to go along")] = None,
) -> None:
    """Pack the runner, the libraries it needs and a bundle into a folder that starts anywhere.

    Example: pack.py build/aarch64-linux/install --search /usr/aarch64-linux-gnu/lib -o package
    """
    try:
        manifest = pack(prefix, output, search or [], bundle)
    except (ValueError, OSError) as error:
        print(f"pack: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    size = sum(file["bytes"] for file in manifest["files"].values())
    print(
        f"{output}: {manifest['abi']}, {manifest['os']}, pages of {manifest['page_size']} bytes, "
        f"{len(manifest['files'])} files, {size / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    typer.run(main)
