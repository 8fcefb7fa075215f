"""The shared libraries that a program needs, and where they are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elf_file import ElfFile, NotElfError, read_elf

# On every Android device, for programs and apps: the NDK's list of stable libraries.
ANDROID_SYSTEM = frozenset(
    f"lib{name}.so"
    for name in (
        *("aaudio", "android", "c", "camera2ndk", "dl", "EGL", "GLESv1_CM", "GLESv2", "GLESv3"),
        *("jnigraphics", "log", "m", "mediandk", "nativewindow", "neuralnetworks", "OpenMAXAL"),
        *("OpenSLES", "sync", "vulkan", "z"),
    )
)


class MissingLibraryError(ValueError):
    """A library that is needed is in none of the folders."""


def needed_libraries(
    program: Path, folders: Sequence[Path], system: frozenset[str] = frozenset()
) -> dict[str, tuple[Path, ElfFile]]:
    """By file name: all that ``program`` needs, and what those need in turn, ``system`` left out.

    Folders are searched in order for a file of that name, for the program's kind of processor.
    Raises MissingLibraryError with the name of a library and who needs it.
    """
    machine = read_elf(program).machine
    found: dict[str, tuple[Path, ElfFile]] = {}
    asking = [program]
    while asking:
        by = asking.pop()
        for name in read_elf(by).needed:
            if name in found or name in system:
                continue
            found[name] = _find(name, by, folders, machine)
            asking.append(found[name][0])
    return dict(sorted(found.items()))


def _find(name: str, by: Path, folders: Sequence[Path], machine: str) -> tuple[Path, ElfFile]:
    for folder in folders:
        path = folder / name
        if not path.is_file():
            continue
        try:
            elf = read_elf(path)
        except NotElfError:  # a linker script
            continue
        if elf.machine == machine:
            return path, elf
    raise MissingLibraryError(
        f"{name}, which {by.name} needs, is not in {', '.join(map(str, folders))} "
        "(for this processor); name its folder: --search FOLDER"
    )
