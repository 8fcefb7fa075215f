"""Fixtures: android_runner/ and cmake/ on the path, a tiny installed build that packs like ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_programs import PROGRAM, compile_c

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "android_runner"), str(ROOT / "cmake")]
sys.path.append(str(ROOT / "tests" / "python" / "runtime"))  # toy_bundle


@pytest.fixture(scope="session")
def small_prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `cmake --install` would write it: a program, a library, and one that this needs."""
    prefix = tmp_path_factory.mktemp("small") / "install"
    origin = "-Wl,-rpath,$ORIGIN"
    inner = 'const char* inner(void) { return "found"; }'
    compile_c(inner, prefix / "lib" / "libinner.so", "-shared")
    outer = "const char* inner(void); const char* word(void) { return inner(); }"
    link = [f"-L{prefix / 'lib'}", "-linner"]
    compile_c(outer, prefix / "lib" / "libouter.so", "-shared", origin, *link)
    link = [f"-L{prefix / 'lib'}", "-louter", "-Wl,-rpath-link", prefix / "lib"]
    compile_c(PROGRAM, prefix / "bin" / "mobilevd_runner", "-Wl,-rpath,$ORIGIN/../lib", *link)
    (prefix / "_build_info.py").write_text('VERSION = "0.1.0"\nEXECUTORCH_VERSION = "1.5.1"\n')
    return prefix


@pytest.fixture(scope="session")
def host_libraries() -> Path:
    """The folder of this machine's C library."""
    command = ["gcc", "-print-file-name=libc.so.6"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()).parent
