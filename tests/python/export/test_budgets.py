"""A change that adds a partition or an op on the CPU says so in tests/budgets.json."""

import copy
import json

import budgets
import pytest
from mobilevd.export.flavour import Flavour
from mobilevd.export.manifest import read_bundle
from mobilevd.export.shipped import shipped_bundle

# Flavours that `make test` has lowered already; others take minutes.
BUNDLES = {
    ("mini", "xnnpack", "fp32", None, None): "mini_bundle",
    ("mini", "vulkan", "fp16", None, 2048): "mini_vulkan_bundle",
}
ROWS = [
    pytest.param(
        row,
        id=budgets.name(row),
        marks=[] if budgets.identity(row) in BUNDLES else pytest.mark.slow,
    )
    for row in budgets.rows()
]


@pytest.fixture
def manifest(row, request):
    fixture = BUNDLES.get(budgets.identity(row))
    if fixture is not None:
        return read_bundle(request.getfixturevalue(fixture))
    return read_bundle(shipped_bundle(row["preset"], flavour=Flavour.from_dict(row)))


@pytest.mark.parametrize("row", ROWS)
def test_budget(row, manifest):
    assert set(row["stages"]) == set(manifest["stages"])
    lines = []
    for name, budget in row["stages"].items():
        lines += budgets.over(name, manifest["stages"][name], budget)
        for hint in budgets.loose(name, manifest["stages"][name], budget):
            print(hint)
    assert not lines, "\n".join(lines)


def test_what_ships_and_what_is_promised_has_a_budget():
    """One graph with nothing on the CPU for Vulkan and QNN: issue of the flavours."""
    rows = {budgets.identity(row): row for row in budgets.rows()}
    assert BUNDLES.keys() <= rows.keys()
    for row in rows.values():
        if row["backend"] != "xnnpack":
            for stage in row["stages"].values():
                assert stage == {"partitions": 1, "cpu_ops": {}}


@pytest.fixture
def stage():
    op = {"op": "norm.out", "module": "a.norm", "reason": "no norm", "count": 2, "flops": 0}
    return {"partitions": 3, "cpu_ops": [op, {**op, "module": "b.norm", "count": 1}]}


BUDGET = {"partitions": 3, "cpu_ops": {"norm.out": {"a.norm": 2, "b.norm": 1}}}


def test_a_kept_budget_says_nothing(stage):
    assert budgets.over("unet", stage, BUDGET) == []
    assert budgets.loose("unet", stage, BUDGET) == []


def test_what_is_new_is_named_with_its_module(stage):
    conv = {"op": "conv.out", "module": "mid.conv", "reason": "batch 2", "count": 1}
    worse = {"partitions": 4, "cpu_ops": [*stage["cpu_ops"], conv]}
    assert budgets.over("unet", worse, BUDGET) == [
        "unet: 4 partitions, the budget is 3",
        "unet: new on the CPU: 1 x conv.out in mid.conv (batch 2)",
    ]
    # As many ops as before, but another one.
    swapped = {"partitions": 3, "cpu_ops": [stage["cpu_ops"][0], conv]}
    assert budgets.over("unet", swapped, BUDGET) == [
        "unet: new on the CPU: 1 x conv.out in mid.conv (batch 2)"
    ]
    more = copy.deepcopy(stage)
    more["cpu_ops"][1]["count"] = 2
    assert budgets.over("unet", more, BUDGET) == [
        "unet: new on the CPU: 1 x norm.out in b.norm (no norm)"
    ]


def test_a_renamed_module_is_no_new_op(stage):
    stage["cpu_ops"][1]["module"] = "c.norm"
    assert budgets.over("unet", stage, BUDGET) == []


def test_what_could_be_tighter_is_said_and_does_not_fail(stage):
    better = {"partitions": 1, "cpu_ops": stage["cpu_ops"][:1]}
    assert budgets.over("unet", better, BUDGET) == []
    first, second = budgets.loose("unet", better, BUDGET)
    assert first.startswith("unet: 1 partitions, the budget allows 3: tighten it")
    assert second.startswith("unet: the budget has 1 x norm.out too many")


def test_writing_replaces_the_row_of_the_same_flavour(tmp_path, monkeypatch, mini_bundle):
    other = {"preset": "mini", "backend": "vulkan", "precision": "fp16", "stages": {}}
    old = {"preset": "mini", "backend": "xnnpack", "precision": "fp32", "stages": {}}
    (tmp_path / "budgets.json").write_text(json.dumps([other, old]))
    monkeypatch.setattr(budgets, "FILE", tmp_path / "budgets.json")
    budgets.write([mini_bundle])
    written = budgets.rows()
    assert other in written
    assert len(written) == 2
    (row,) = (r for r in written if r["backend"] == "xnnpack")
    for name, stage in read_bundle(mini_bundle)["stages"].items():
        assert budgets.over(name, stage, row["stages"][name]) == []
        assert budgets.loose(name, stage, row["stages"][name]) == []
