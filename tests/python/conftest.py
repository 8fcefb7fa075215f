"""The exported mini, made once per checkout."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A shell's background jobs, and what they start, ignore Ctrl-C: the tests that send it would wait.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mini_bundle() -> Path:
    """The bundle that `make test` exported; without make, the one in the user's cache."""
    given = os.environ.get("MOBILEVD_MINI_BUNDLE")
    if given:
        return Path(given)
    from mobilevd.export.shipped import shipped_bundle

    return shipped_bundle("mini")


@pytest.fixture(scope="session")
def uncompressed_mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the preset `mini` as it is before MobileVD's steps; random weights."""
    import torch
    from mobilevd.models.store import Model, save_model
    from mobilevd.presets import get_preset

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "uncompressed-mini"
    save_model(Model.fresh(get_preset("mini")), folder)
    return folder


@pytest.fixture(scope="session")
def mini_vulkan_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mini for Vulkan in fp16: the one that `make test` exported, else one made for this session
    (two minutes)."""
    given = os.environ.get("MOBILEVD_MINI_VULKAN_BUNDLE")
    if given:
        return Path(given)
    from mobilevd.export.bundle import export_bundle
    from mobilevd.export.flavour import Flavour
    from mobilevd.models.store import load_model

    folder = tmp_path_factory.mktemp("bundles") / "mini-vulkan"
    export_bundle(load_model("mini"), folder, Flavour("vulkan", "fp16"))
    return folder
