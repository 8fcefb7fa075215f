"""The bundle of mobilevd-512x256 with random weights, exported once for all tests of `make
full-size`.

In MOBILEVD_FULL_SIZE, a folder that stays (10 GB), so that a second run does not export again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FULL = "mobilevd-512x256"
HOUR = 3600


def full_size_bundle() -> Path:
    """The bundle; export.json beside it has what the export took."""
    folder = Path(os.environ.get("MOBILEVD_FULL_SIZE") or tempfile.gettempdir()) / "full-size"
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / FULL
    if not (folder / "export.json").is_file():
        command = [sys.executable, "-m", "mobilevd", "export", "--preset", FULL]
        process = subprocess.Popen([*command, "--weights", "random:0", "-o", str(bundle)])
        _, status, used = os.wait4(process.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        (folder / "export.json").write_text(json.dumps({"peak_rss_mb": used.ru_maxrss / 1024}))
    return bundle
