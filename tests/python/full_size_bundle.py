"""The bundle of mobilevd-512x256 with random weights, exported once for all tests of `make
full-size`.

In MOBILEVD_FULL_SIZE, a folder that stays (14 GB), so that a second run does not export again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mobilevd.evaluate.peers.kept import sources
from mobilevd.evaluate.peers.peer import OURS

FULL = "mobilevd-512x256"
HOUR = 3600


def full_size_bundle() -> Path:
    """The bundle; export.json beside it has what the export took."""
    folder = Path(os.environ.get("MOBILEVD_FULL_SIZE") or tempfile.gettempdir()) / "full-size"
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / FULL
    made_from = sources(OURS)  # another export makes another bundle
    about = folder / "export.json"
    if not about.is_file() or json.loads(about.read_text()).get("made_from") != made_from:
        about.unlink(missing_ok=True)
        shutil.rmtree(bundle, ignore_errors=True)
        command = [sys.executable, "-m", "mobilevd", "export", "--preset", FULL]
        process = subprocess.Popen([*command, "--weights", "random:0", "-o", str(bundle)])
        _, status, used = os.wait4(process.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        found = {"peak_rss_mb": used.ru_maxrss / 1024, "made_from": made_from}
        about.write_text(json.dumps(found))
    return bundle
