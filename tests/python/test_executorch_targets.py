"""cmake/ExecuTorch.cmake links the delegates that an ExecuTorch exports, and needs none of them.

With stand-ins for ExecuTorch: the wheel's layout (``executorch::...``) is configured, a source
install's (bare names, static libraries) is built and looked into.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CMAKE_FOLDER = Path(__file__).parents[2] / "cmake"

PROJECT = f"""
cmake_minimum_required(VERSION 3.28)
project(stand_in LANGUAGES CXX)
include({CMAKE_FOLDER}/Install.cmake)
include({CMAKE_FOLDER}/ExecuTorch.cmake)
get_target_property(linked mobilevd_et_backends INTERFACE_LINK_LIBRARIES)
message(STATUS "backends: ${{linked}}")
"""

WHEEL = """
set(executorch_FOUND TRUE)
set(EXECUTORCH_BUILD_VERSION 1.5.1+cpu)
foreach(name runtime threadpool kernels_optimized backend_xnnpack etdump {further})
  add_library(executorch::${{name}} INTERFACE IMPORTED)
  set_target_properties(executorch::${{name}} PROPERTIES
    INTERFACE_LINK_OPTIONS "LINKER:-rpath,/elsewhere;LINKER:--no-as-needed")
endforeach()
"""

# As ExecuTorch's own config: static libraries, those that register themselves linked whole.
SOURCE = """
set(executorch_FOUND TRUE)
set(EXECUTORCH_INCLUDE_DIRS ${{CMAKE_CURRENT_LIST_DIR}})
foreach(name executorch executorch_core xnnpack_backend {further})
  file(WRITE ${{CMAKE_BINARY_DIR}}/${{name}}.cc
       "extern \\"C\\" int ${{name}}_is_in() {{ return 1; }}")
  add_library(${{name}} STATIC ${{CMAKE_BINARY_DIR}}/${{name}}.cc)
  set_target_properties(${{name}} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  if(name MATCHES "_backend$")
    target_link_options(${{name}} INTERFACE
      "SHELL:LINKER:--whole-archive $<TARGET_FILE:${{name}}> LINKER:--no-whole-archive")
  endif()
endforeach()
"""


def configure(folder: Path, config: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Configures PROJECT with that executorch-config.cmake, in ``folder``/build."""
    (folder / "package").mkdir()
    (folder / "package" / "executorch-config.cmake").write_text(config)
    (folder / "CMakeLists.txt").write_text(PROJECT)
    return cmake(
        *("-S", folder, "-B", folder / "build", "-G", "Ninja"),
        *(f"-Dexecutorch_DIR={folder / 'package'}", *flags),
    )


def cmake(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["cmake", *map(str, arguments)], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("further", [(), ("backend_vulkan",), ("backend_vulkan", "backend_qnn")])
def test_the_wheels_delegates_are_linked_where_there_are_any(tmp_path, further):
    done = configure(tmp_path, WHEEL.format(further=" ".join(further)))
    assert done.returncode == 0, done.stderr
    names = ["kernels_optimized", "backend_xnnpack", *further]
    assert f"backends: {';'.join(f'executorch::{name}' for name in names)}\n" in done.stdout


@pytest.mark.parametrize("further", [(), ("vulkan_backend", "qnn_executorch_backend")])
def test_a_source_installs_delegates_are_in_our_one_library(tmp_path, further):
    done = configure(tmp_path, SOURCE.format(further=" ".join(further)))
    assert done.returncode == 0, done.stderr
    built = cmake("--build", tmp_path / "build")
    assert built.returncode == 0, built.stdout + built.stderr
    library = tmp_path / "build" / "libmobilevd_executorch.so"
    symbols = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True)
    found = {line.split()[-1] for line in symbols.stdout.splitlines()}
    assert {"executorch_core_is_in", "xnnpack_backend_is_in"} <= found
    for name in ("vulkan_backend", "qnn_executorch_backend"):
        assert (f"{name}_is_in" in found) == (name in further)


def test_an_older_executorch_is_refused(tmp_path):
    (tmp_path / "package").mkdir()
    version = 'set(PACKAGE_VERSION "1.4.1")\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n'
    config = WHEEL.format(further="")
    (tmp_path / "package" / "executorch-config-version.cmake").write_text(version)
    (tmp_path / "package" / "executorch-config.cmake").write_text(config)
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    done = cmake("-S", tmp_path, "-B", tmp_path / "build", "-G", "Ninja",
                 f"-Dexecutorch_DIR={tmp_path / 'package'}")  # fmt: skip
    assert done.returncode != 0
    assert "is ExecuTorch 1.4.1, 1.5 is needed" in " ".join(done.stderr.split())
