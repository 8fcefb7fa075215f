"""``mobilevd_runner`` on the PATH: replaces itself by the C++ program inside the package."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    # Beside the extension module: an editable install keeps the sources elsewhere. Found, not
    # imported: the runner needs no Python libraries.
    spec = find_spec("mobilevd._runtime")
    if spec is None or spec.origin is None:
        sys.exit("mobilevd_runner: the compiled parts of mobilevd are missing: install it again")
    runner = Path(spec.origin).parent / "bin" / "mobilevd_runner"
    os.execv(runner, [str(runner), *sys.argv[1:]])


if __name__ == "__main__":
    main()
