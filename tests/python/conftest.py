"""The exported mini, made once per checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mini_bundle() -> Path:
    """The bundle that `make test` exported; without make, the one in the user's cache."""
    given = os.environ.get("MOBILEVD_MINI_BUNDLE")
    if given:
        return Path(given)
    from mobilevd.export.shipped import shipped_bundle

    return shipped_bundle("mini")
