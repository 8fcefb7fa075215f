"""``mobilevd compare``: clips without the model, and what goes together."""

import json

import pytest
from test_commands import run


def test_clips_alone_need_no_model(capsys, tmp_path, mini_bundle):
    flags = ("--no-stages", "--clips", 1, "--repeat", 2, "--threads", 1, "--model", "/no/where")
    code, out, _ = run(capsys, "compare", mini_bundle, *flags, "--json", tmp_path / "rows.json")
    assert code == 0
    assert "by stage: MB on the disk, ms a clip" in out
    assert "against eager" not in out
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert (row["name"], row["clips"], row["threads"]) == ("xnnpack fp32", 1, 1)
    assert row["clip_ms"] == pytest.approx(sum(row["stage_ms"].values()))
    # Of all 14 frames' runs of the decoder, and of one clip, not of two.
    assert 0.2 * row["cpu_ms"] < row["clip_ms"] < 5 * row["cpu_ms"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--no-stages",), "--no-stages goes with --clips"),
        (("--threads", 1), "--threads goes with --clips"),
        (("--clips", 1, "--repeat", 0), "--repeat"),
    ],
)
def test_what_goes_together(capsys, mini_bundle, flags, says):
    code, _, error = run(capsys, "compare", mini_bundle, *flags)
    assert code == 2
    assert says in error
