"""What a package must know of a program or shared library, read by pyelftools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile


class NotElfError(ValueError):
    """The file is no program or shared library, or a damaged one."""


@dataclass(frozen=True)
class ElfFile:
    """The parts of one file's headers."""

    machine: str
    """As ELF names it: "EM_AARCH64", "EM_X86_64"."""
    interpreter: str | None
    """The program that loads it: "/system/bin/linker64"; None for a library."""
    needed: tuple[str, ...]
    """File names of the shared libraries that it asks for."""
    run_paths: tuple[str, ...]
    """Folders where it looks for them first."""
    alignment: int
    """The smallest alignment of its LOAD segments, in bytes: runs on pages up to that size."""

    @property
    def absolute_run_paths(self) -> tuple[str, ...]:
        """Those that do not start at the file itself, so that moving the folder breaks them."""
        return tuple(p for p in self.run_paths if p.split("/")[0] not in ("$ORIGIN", "${ORIGIN}"))


def read_elf(path: Path) -> ElfFile:
    """Raises NotElfError, with the file's name."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            interpreter = None
            alignments = []
            needed: list[str] = []
            run_paths: list[str] = []
            for segment in elf.iter_segments():
                kind = segment["p_type"]
                if kind == "PT_INTERP":
                    interpreter = segment.get_interp_name()
                elif kind == "PT_LOAD":
                    alignments.append(segment["p_align"])
                elif kind == "PT_DYNAMIC":
                    for tag in segment.iter_tags():
                        if tag.entry.d_tag == "DT_NEEDED":
                            needed.append(tag.needed)
                        elif tag.entry.d_tag == "DT_RUNPATH":
                            run_paths += tag.runpath.split(":")
                        elif tag.entry.d_tag == "DT_RPATH":
                            run_paths += tag.rpath.split(":")
            machine = elf["e_machine"]
    except (ELFError, OSError) as error:
        raise NotElfError(f"{path} is no program or shared library: {error}") from error
    if not alignments:
        raise NotElfError(f"{path} has nothing to load")
    return ElfFile(machine, interpreter, tuple(needed), tuple(run_paths), min(alignments))
