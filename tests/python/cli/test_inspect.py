"""``mobilevd inspect``: the terminal, JSON, the page, and what it refuses."""

import json
import shutil

import pytest
from test_commands import run


@pytest.fixture
def edited(tmp_path, mini_bundle):
    """A copy of the bundle whose bundle.json was changed."""

    def edit(change):
        folder = tmp_path / "edited"
        shutil.copytree(mini_bundle, folder)
        manifest = json.loads((folder / "bundle.json").read_text())
        change(manifest)
        (folder / "bundle.json").write_text(json.dumps(manifest))
        return folder

    return edit


def test_inspect(capsys, tmp_path, mini_bundle):
    files = ("--json", tmp_path / "new" / "report.json", "--html", tmp_path / "new" / "report.html")
    code, out, _ = run(capsys, "inspect", mini_bundle, *files)
    assert code == 0
    assert "unet: 45 x group_norm_silu.out: our fused kernel" in out
    assert "unet: 36 x conv2d_3x3.out: our fused kernel" in out
    assert "unet: 32 x native_layer_norm.out: XNNPACK has no native_layer_norm" in out
    assert "4 x temporal_attention.out: our fused kernel" in out
    stages = json.loads((tmp_path / "new" / "report.json").read_text())["stages"]
    assert {
        "partitions", "cpu_ops", "delegated_share_ops", "delegated_share_flops", "weight_bytes",
        "arena_bytes", "border_bytes", "weights_by_dtype",
    } <= set(stages["unet"])  # fmt: skip
    assert {"op", "module", "reason", "count", "flops"} == set(stages["unet"]["cpu_ops"][0])
    assert "parity" not in stages["unet"]
    for op in stages["unet"]["cpu_ops"]:
        assert op["module"][-40:] in out or op["module"][:40] in out
    assert (tmp_path / "new" / "report.html").read_text().startswith("<!doctype html>")


def test_parity_over_its_limit(capsys, tmp_path, mini_bundle):
    """A limit that nothing keeps: the first block is named, the figures are there all the same."""
    code, out, err = run(
        capsys, "inspect", mini_bundle, "--parity", "--block", "conv_in",
        "--max-relative-l2", 1e-9, "--json", tmp_path / "r.json", "--html", tmp_path / "r.html",
    )  # fmt: skip
    assert code == 1
    assert "parity: image_encoder, whole stage: relative L2 " in err
    assert " more" in err
    assert "unet: parity with the model" in out
    stages = json.loads((tmp_path / "r.json").read_text())["stages"]
    assert [row["block"] for row in stages["unet"]["parity"]] == ["conv_in", "whole stage"]
    assert all(row["relative_l2"] < 1e-4 for s in stages.values() for row in s["parity"])
    assert 'class="bad"' in (tmp_path / "r.html").read_text()


def test_a_bundle_remembers_random_weights(monkeypatch):
    """Which model is compared: the one given, else the one recorded, else the preset's."""
    from mobilevd.cli.inspect import _exported

    recorded = {"preset": "mini", "weights": "random:3"}
    assert _exported(recorded, None, None).origin == "random:3"
    assert _exported(recorded, None, "random:4").origin == "random:4"
    assert _exported(recorded, "mini", None).origin is None
    assert _exported({"preset": "mini"}, None, None).origin is None


@pytest.mark.slow
def test_parity_of_mini(capsys, tmp_path, mini_bundle):
    arguments = ("inspect", mini_bundle, "--parity", "--model", "mini")
    code, _, err = run(capsys, *arguments, "--json", tmp_path / "r.json")
    assert code == 0, err
    rows = json.loads((tmp_path / "r.json").read_text())["stages"]["unet"]["parity"]
    assert len(rows) == 36
    assert all(row["relative_l2"] < 1e-5 for row in rows)


def test_an_older_bundle(capsys, edited):
    def forget(manifest):
        for stage in manifest["stages"].values():
            for key in ("partitions", "cpu_ops", "delegated_share_flops", "cpu_flops"):
                del stage[key]

    code, out, _ = run(capsys, "inspect", edited(forget))
    assert code == 0
    assert "not recorded by the mobilevd that exported this; export it again" in " ".join(
        out.split()
    )


def test_a_backend_without_its_runtime(capsys, edited, tmp_path):
    folder = edited(lambda manifest: manifest.update(backend="vulkan"))
    code, _, err = run(capsys, "inspect", folder, "--parity", "--json", tmp_path / "x.json")
    assert code == 1
    assert "has no VulkanBackend" in err
    assert "--backend-lib" in err
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model", "mini"), "--model goes with --parity"),
        (("--block", "conv_in"), "--block goes with --parity"),
        (("--stage", "unet"), "--stage goes with --parity"),
        (("--weights", "random:1"), "--weights goes with --parity"),
        (("--parity", "--weights", "random:x"), "--weights takes random:SEED, not random:x"),
        (
            ("--parity", "--weights", "random:1", "--model", "mini"),
            "--model or --weights, not both",
        ),
        (("--parity", "--stage", "vae"), "no stage vae; the bundle has image_encoder, vae_encoder"),
        (("--max-relative-l2", "0.1"), "--max-relative-l2 goes with --parity"),
        (("--parity", "--max-relative-l2", "0"), "--max-relative-l2 must be above 0, not 0.0"),
        (("--parity", "--image", "none.jpg"), "no picture none.jpg"),
        (("--parity", "--model", "huge"), "unknown preset 'huge'"),
    ],
)
def test_usage(capsys, mini_bundle, flags, message):
    code, _, err = run(capsys, "inspect", mini_bundle, *flags)
    assert code == 2
    assert message in err


def test_no_bundle(capsys, tmp_path):
    code, _, err = run(capsys, "inspect", tmp_path)
    assert code == 1
    assert "not a bundle" in err
