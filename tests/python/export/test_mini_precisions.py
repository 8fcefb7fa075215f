"""mini in fp16 and int8 beside fp32: sizes, clips, and every stage against eager."""

import pytest
from mobilevd.evaluate.clip_runs import compare_clips
from mobilevd.evaluate.flavours import compare
from mobilevd.export.calibration import pictures
from mobilevd.export.flavour import Flavour
from mobilevd.export.shipped import shipped_bundle
from mobilevd.models.store import load_model

pytestmark = pytest.mark.slow  # two exports


@pytest.fixture(scope="module")
def bundles(mini_bundle):
    made = {p: shipped_bundle("mini", flavour=Flavour("xnnpack", p)) for p in ("fp16", "int8")}
    return {"fp32": mini_bundle, **made}


def test_size_and_clips(bundles):
    model = load_model("mini")
    rows = compare_clips(
        bundles,
        pictures(model.preset.width, model.preset.unet.num_frames, 3, split="test"),
        threads=1,
    )
    fp32, fp16, int8 = rows
    assert fp32["name"] == "fp32"
    assert fp16["file_share"] < 0.55
    assert int8["file_share"] <= 0.3
    assert fp16["psnr_db_worst"] > 40
    assert int8["psnr_db_worst"] > 30
    assert int8["ssim_worst"] > 0.8
    # Times are for results/precision: here, other tests run beside.


def test_stages_are_near_eager(bundles):
    limits = {"fp16": 1e-2, "int8": 1e-1}
    rows = compare(load_model("mini"), [bundles[p] for p in limits])
    for precision, limit in limits.items():
        errors = {r["name"]: r["relative_l2"] for r in rows if "relative_l2" in r}
        found = [e for name, e in errors.items() if name.startswith(f"xnnpack {precision} ")]
        assert len(found) == 4
        assert max(found) < limit, errors
