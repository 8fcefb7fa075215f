"""The exported mini: its programs equal eager, stage by stage; the report."""

import hashlib
import json

import numpy as np
import pytest
import torch
from mobilevd.export.bundle import _is_bundle_or_empty, export_bundle
from mobilevd.export.flavour import Flavour
from mobilevd.export.manifest import read_bundle
from mobilevd.export.stages import STAGES, make_stage
from mobilevd.models.store import Model, load_model
from mobilevd.presets import get_preset
from programs import relative_error, run_program


@pytest.fixture(scope="module")
def manifest(mini_bundle):
    return read_bundle(mini_bundle)


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_stage_equals_eager(mini_bundle, name):
    model = load_model("mini")
    stage = make_stage(model, name, "xnnpack")
    inputs = stage.example(seed=3)
    want = stage.module(*inputs)
    if name == "unet":
        want = model.unet.forward_sinusoids(*inputs)  # unrewritten
    (got,) = run_program(mini_bundle / f"{name}.pte", inputs)
    assert tuple(got.shape) == stage.outputs[0].shape == tuple(want.shape)
    relative = relative_error(got, want)
    # float32 on both sides; ExecuTorch's GroupNorm takes E[x^2] - E[x]^2, which costs digits.
    assert relative < 1e-4, relative


def test_files_and_manifest_agree(mini_bundle, manifest):
    assert set(manifest["stages"]) == set(STAGES)
    for file, entry in manifest["files"].items():
        data = (mini_bundle / file).read_bytes()
        assert len(data) == entry["bytes"]
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert manifest["sampling"]["latent_scale"] == load_model("mini").preset.vae.latent_scale


def test_the_fused_kernel_is_one_node(manifest):
    unet = manifest["stages"]["unet"]
    assert "mobilevd::temporal_attention.out" in unet["required_ops"]
    fused = [op for op in unet["cpu_ops"] if op["op"].startswith("temporal_attention")]
    assert sum(op["count"] for op in fused) == 4  # of the 7 temporal blocks that pruning kept
    assert all("temporal_transformer_blocks" in op["module"] for op in fused)


def test_export_refuses_to_overwrite_other_files(tmp_path):
    model = Model.fresh(get_preset("mini"))
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds other files"):
        export_bundle(model, tmp_path)
    with pytest.raises(ValueError, match="holds other files"):
        export_bundle(model, tmp_path / "letter.txt")
    with pytest.raises(ValueError, match="no flavour xnnpack int3; there are: --backend xnnpack"):
        export_bundle(model, tmp_path / "new", Flavour("xnnpack", "int3"))
    assert (tmp_path / "letter.txt").read_text() == "dear"
    assert not (tmp_path / "new").exists()


def test_a_bundle_of_an_older_schema_may_be_replaced(tmp_path):
    (tmp_path / "bundle.json").write_text('{"schema_version": 1, "files": {"unet.pte": {}}}')
    (tmp_path / "unet.pte").write_text("old")
    assert _is_bundle_or_empty(tmp_path)
    (tmp_path / "letter.txt").write_text("dear")
    assert not _is_bundle_or_empty(tmp_path)


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("lowering failed")

    monkeypatch.setattr("mobilevd.export.bundle.lower", fail)
    with pytest.raises(RuntimeError, match="lowering failed"):
        export_bundle(Model.fresh(get_preset("mini")), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_unknown_schema_is_refused(tmp_path, manifest):
    with pytest.raises(FileNotFoundError, match=r"no bundle\.json"):
        read_bundle(tmp_path)
    for damaged in ("[]", "{", '{"stages": 1}'):
        (tmp_path / "bundle.json").write_text(damaged)
        with pytest.raises(ValueError, match="export it again"):
            read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text('{"schema_version": 2}')
    with pytest.raises(ValueError, match="lacks preset, backend"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(ValueError, match="schema_version 99"):
        read_bundle(tmp_path)


def test_shapes_are_those_of_the_preset(manifest):
    preset = get_preset("mini")
    assert manifest["shapes"]["frames"] == preset.unet.num_frames == 14
    assert np.prod(manifest["stages"]["unet"]["outputs"][0]["shape"]) == 14 * 4 * 8 * 8
