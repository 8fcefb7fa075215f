"""Fixtures: a toy bundle, a photograph, the runner."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mobilevd.runtime import runner_path
from PIL import Image
from toy_bundle import NanUnet, write_toy_bundle

Run = Callable[..., subprocess.CompletedProcess[str]]
Edit = Callable[[Callable[[dict[str, Any]], None]], Path]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_bundle(tmp_path_factory.mktemp("bundle") / "toy")


@pytest.fixture(scope="session")
def nan_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_bundle(tmp_path_factory.mktemp("bundle") / "nan", unet=NanUnet)


@pytest.fixture
def edited_bundle(bundle: Path, tmp_path: Path) -> Edit:
    """Call with a function that changes bundle.json: a copy of the bundle with that."""

    def edit(change: Callable[[dict[str, Any]], None]) -> Path:
        copy = tmp_path / "edited"
        shutil.copytree(bundle, copy)
        description = json.loads((copy / "bundle.json").read_text())
        change(description)
        (copy / "bundle.json").write_text(json.dumps(description))
        return copy

    return edit


@pytest.fixture(scope="session")
def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A real photograph, 640 x 427."""
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("china.jpg"))


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory, picture: Any) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    Image.fromarray(picture).save(path, quality=92)
    return path


@pytest.fixture(scope="session")
def runner() -> Run:
    """Run mobilevd_runner with these arguments."""

    def run(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(runner_path()), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )

    return run
