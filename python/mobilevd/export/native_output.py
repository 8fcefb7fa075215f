"""Output of native libraries, which Python's streams do not see."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def native_output() -> Iterator[IO[bytes]]:
    """Takes what C++ prints to standard output and error (QNN draws progress bars) into a file."""
    with tempfile.TemporaryFile() as file:
        saved: dict[int, int] = {}
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            for descriptor in (1, 2):
                saved[descriptor] = os.dup(descriptor)
                os.dup2(file.fileno(), descriptor)
            yield file
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in saved.items():
                os.dup2(original, descriptor)
                os.close(original)
