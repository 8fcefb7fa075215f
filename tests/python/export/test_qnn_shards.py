"""A UNet cut into shards is the same function; the plan of a large one respects its limit."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from mobilevd.cli.main import main
from mobilevd.export.qnn_shards import INPUTS, plan, shards
from mobilevd.export.rewrites import prepare
from mobilevd.models import create_unet
from mobilevd.presets import get_preset
from small_networks import UNET_CONFIG


@pytest.mark.parametrize("factors", [{}, {"temporal_factor": 2, "spatial_factor": 2}])
@torch.no_grad()
def test_shards_one_after_another_are_the_unet(factors):
    torch.manual_seed(0)
    config = replace(UNET_CONFIG, **factors)
    unet = prepare(create_unet(config).double(), "qnn")
    shapes = ((1, 4, 8, 32, 16), (1, 32), (1, 1, 24), (1, 48))
    values = {n: torch.randn(s).double() for n, s in zip(INPUTS, shapes, strict=True)}
    want = unet.forward_sinusoids(*values.values())
    cut = shards(unet, "fp16", limit_bytes=1_500_000)
    assert len(cut) > 3
    for shard in cut:
        made = shard(*(values[name] for name in shard.inputs))
        values.update(zip(shard.outputs, made, strict=True))
    assert cut[-1].outputs == ("v_prediction",)
    torch.testing.assert_close(values["v_prediction"], want, rtol=1e-9, atol=1e-9)
    weights = [p for shard in cut for p in shard.parameters()]
    assert len(weights) == len({id(p) for p in weights}) == len(list(unet.parameters()))


@pytest.mark.parametrize(("precision", "count"), [("fp16", 3), ("16a8w", 1)])
def test_plan_of_a_large_unet(precision, count):
    preset = get_preset("mobilevd-512x256")
    with torch.device("meta"):
        unet = create_unet(preset.unet)
    rows = plan(unet, preset.latent_size, precision)
    assert len(rows) == count
    assert all(row.weight_bytes <= 1 << 30 for row in rows)
    total = sum(p.numel() for p in unet.parameters())
    size = 2 if precision == "fp16" else 1
    assert size * total <= sum(row.weight_bytes for row in rows) < 1.01 * size * total
    for before, after in pairwise(rows):
        for name, shape in after.inputs.items():
            if name in before.outputs:
                assert before.outputs[name] == shape


def test_plan_on_the_command_line(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["plan", "--preset", "mini", "--shard-mb", "2", "--json", str(tmp_path / "plan.json")])
    assert stop.value.code == 0
    rows = json.loads((tmp_path / "plan.json").read_text())
    assert len(rows) > 2
    assert all(row["weight_bytes"] <= 2 << 20 for row in rows)
    assert rows[-1]["outputs"] == {"v_prediction": [1, 14, 4, 8, 8]}
    assert "crossing MB" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["plan", "--preset", "mobilevd-512x256", "--shard-mb", "1"])
    assert stop.value.code == 1
    assert "a shard of 1 MB is too small" in capsys.readouterr().err
