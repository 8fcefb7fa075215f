"""``mobilevd compare``: clips without the model, and what goes together."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from mobilevd.evaluate import clip_runs
from mobilevd.evaluate.flavours import compare
from mobilevd.presets import get_preset
from test_commands import run


def test_clips_alone_need_no_model(capsys, tmp_path, mini_bundle):
    flags = ("--no-stages", "--clips", 1, "--repeat", 2, "--threads", 1, "--model", "/no/where")
    code, out, _ = run(capsys, "compare", mini_bundle, *flags, "--json", tmp_path / "rows.json")
    assert code == 0
    assert "by stage: MB on the disk, ms a clip" in out
    assert "against eager" not in out
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert (row["name"], row["clips"], row["threads"]) == ("xnnpack fp32", 1, 1)
    assert row["repeat"] == 2


def test_a_bundle_of_another_model_is_refused(mini_bundle):
    model = SimpleNamespace(preset=get_preset("mini-hd"))
    with pytest.raises(ValueError, match=r"give the model that was exported \(--model\)"):
        compare(model, [mini_bundle])


def test_times_are_of_one_clip(mini_bundle):
    """Two clips in a process: the UNet ran twice, the decoder for 28 frames."""
    calls = {"image_encoder": 2, "vae_encoder": 2, "unet": 2, "vae_decoder": 28}
    stages = {name: {"median_ms": 3.0, "calls": count} for name, count in calls.items()}
    result = {"threads": 1, "repeat": 2, "load_ms": 1.0, "peak_rss_mb": 2.0, "stages": stages}
    runs = [clip_runs.ClipRun(np.zeros((1, 8, 8, 3), np.float32), result, cpu_ms=5.0)]
    row = clip_runs._row("one", mini_bundle, runs, runs)
    assert row["clip_ms"] == 3 + 3 + 3 + 14 * 3
    assert row["unet_ms"] == 3


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--no-stages",), "--no-stages goes with --clips"),
        (("--threads", 1), "--threads goes with --clips"),
        (("--repeat", 2), "--repeat goes with --clips"),
        (("--clips", 1, "--repeat", 0), "--repeat must be at least 1"),
    ],
)
def test_what_goes_together(capsys, mini_bundle, flags, says):
    code, _, error = run(capsys, "compare", mini_bundle, *flags)
    assert code == 2
    assert says in error
