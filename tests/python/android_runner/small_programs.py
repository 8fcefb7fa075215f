"""Programs and libraries of a few lines, compiled for a test."""

from __future__ import annotations

import subprocess
from pathlib import Path

# Prints the bundle's folder it is given, and from how far away it was started.
PROGRAM = """
#include <stdio.h>
#include <unistd.h>
const char* word(void);
int main(int argc, char** argv) {
  char folder[4096];
  printf("%s%c%s%c", word(), 0, getcwd(folder, sizeof folder), 0);
  for (int i = 1; i < argc; ++i) printf("%s%c", argv[i], 0);
}
"""


def compile_c(source: str, output: Path, *flags: str | Path, compiler: str = "gcc") -> Path:
    """``source`` as a program, or with -shared a library."""
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-x", "c", "-", "-o", output, "-fPIC", "-x", "none", *flags]
    subprocess.run([str(part) for part in command], input=source, text=True, check=True)
    return output
