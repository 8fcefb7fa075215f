"""Fetch ExecuTorch for 64-bit ARM Linux: headers and libraries out of its aarch64 wheel.

    python cmake/fetch_executorch.py [FOLDER]       default: build/executorch-aarch64

pip downloads the wheel from wherever it is set up to look; only one with the hash below is taken.
FOLDER is written whole or not at all, and left alone when it is there. Needs no Python of ARM.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "executorch==1.5.1"
SHA256 = "8ee02348a3ea80ddf770822911ebf78da616b73afce0fbaaa79f23311c88c66a"
PLATFORM = ("--platform", "manylinux_2_28_aarch64", "--python-version", "311")
# What a C++ build takes, and the licences.
WANTED = ("executorch/include/", "executorch/lib/", "executorch/share/", "licenses/")
DEFAULT = Path(__file__).parents[1] / "build" / "executorch-aarch64"


class FetchError(Exception):
    """One line: what is wrong and what to do."""


def download(folder: Path) -> Path:
    """The wheel, in ``folder``. Raises FetchError with pip's last word."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), *PLATFORM, REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise FetchError(
            f"pip cannot download {REQUIREMENT} for aarch64 "
            f"({lines[-1].strip() if lines else 'it says nothing'}); "
            "download that wheel elsewhere and name it: --wheel FILE"
        )
    return wheels[0]


def check(wheel: Path, sha256: str = SHA256) -> None:
    """Raises FetchError unless the wheel is the one that this project was tested with."""
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise FetchError(
            f"{wheel.name} has sha256 {found}, expected {sha256}: not unpacked; "
            "download it again, from an index you trust"
        )


def fetch(target: Path, wheel: Path | None = None, sha256: str = SHA256) -> bool:
    """Make ``target`` if it is not there; whether anything was done. Raises FetchError."""
    stamp = target / "sha256"
    if stamp.is_file() and stamp.read_text() == sha256:
        return False
    if target.exists() and not stamp.is_file():
        raise FetchError(f"{target} holds something else: choose another folder, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        wheel = wheel or download(Path(temporary))
        check(wheel, sha256)
        fresh = Path(temporary) / "fresh"
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if any(part in n for part in WANTED)]
            archive.extractall(fresh, names)
        (fresh / stamp.name).write_text(sha256)
        if target.exists():  # of another version
            shutil.rmtree(target)
        fresh.rename(target)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT)
    parser.add_argument("--wheel", type=Path, help="take this file instead of downloading")
    arguments = parser.parse_args()
    try:
        done = fetch(arguments.folder, arguments.wheel)
    except (FetchError, OSError, zipfile.BadZipFile) as error:
        print(f"fetch_executorch: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.folder}: {'fetched' if done else 'already there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
