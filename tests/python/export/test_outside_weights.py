"""Weights beside the program: each once, none in memory twice, the same results."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from mobilevd.export import bundle as bundles
from mobilevd.export import room
from mobilevd.export.bundle import export_bundle
from mobilevd.export.files import write_hashed
from mobilevd.export.flavour import Flavour
from mobilevd.export.lowering import lower
from mobilevd.export.report import workspace
from mobilevd.export.rewrites.channels_last.layers import Convolution
from mobilevd.export.room import check_room, stage_bytes
from mobilevd.export.stages import NETWORKS, STAGES, Stage, Tensor, make_stage
from mobilevd.models.parts import open_model, random_model, whole
from mobilevd.models.store import load_model
from mobilevd.presets import get_preset
from programs import relative_error, run_program
from torch import nn

WIDTH = 192  # whose square is worth a file of its own on the way


class Mixed(nn.Module):
    """Delegates around a LayerNorm, which XNNPACK leaves; equal weights; halves of one tensor; an
    op of ours with weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.again = nn.Linear(WIDTH, WIDTH)
        self.again.weight = nn.Parameter(self.first.weight.detach().clone())
        wide = torch.randn(2 * WIDTH, WIDTH) / WIDTH**0.5
        self.upper, self.lower = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        self.upper.weight, self.lower.weight = (nn.Parameter(half) for half in wide.chunk(2))

        self.conv = Convolution(nn.Conv2d(64, 64, 3, padding=1))

    def forward(self, x):
        x = self.lower(self.upper(self.again(self.norm(self.first(x)))))
        return self.conv(x.view(1, 4, 3, 64)).view(4, WIDTH)


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(0)
    tensor = (4, WIDTH)
    return Stage("toy", Mixed().eval(), (Tensor("x", tensor),), (Tensor("y", tensor),))


@torch.no_grad()
def test_each_distinct_weight_is_stored_once_outside(stage, tmp_path):
    spool, out = tmp_path / "spool", tmp_path / "out"
    spool.mkdir()
    out.mkdir()
    lowered = lower(stage, Flavour(), spool)
    assert list(lowered.weights) == ["toy"]
    # What is large lies on the disk before it is written.
    matrices = [4 * WIDTH * WIDTH] * 3 + [4 * 9 * 64 * 64]
    assert sorted(f.stat().st_size for f in spool.iterdir()) == matrices
    (out / "toy.pte").write_bytes(lowered.program)
    entry = write_hashed(out / "toy.ptd", lowered.weights["toy"])
    assert entry["bytes"] == (out / "toy.ptd").stat().st_size
    distinct = sum(matrices) + 4 * (4 * WIDTH + 64)  # 3 biases, scale and shift
    assert distinct <= entry["bytes"] < distinct + 4096
    assert len(lowered.program) < 8192
    inputs = stage.example(seed=1)
    (got,) = run_program(out / "toy.pte", inputs)
    assert relative_error(got, stage.module(*inputs)) < 1e-5


@torch.no_grad()
def test_without_a_folder_the_program_is_whole(stage):
    lowered = lower(stage, Flavour())
    assert lowered.weights == {}
    inputs = stage.example(seed=2)
    (got,) = run_program(lowered.program, inputs)
    assert relative_error(got, stage.module(*inputs)) < 1e-5
    assert len(lowered.program) > 4 * 3 * WIDTH * WIDTH


def test_the_workspace_is_xnnpacks_plan():
    span = workspace._Span
    assert workspace._planned([]) == 0
    # A chain holds two at a time; what ended leaves its place.
    assert workspace._planned([span(0, 1, 10), span(1, 2, 10), span(2, 3, 10)]) == 20
    # The largest lies lowest, and the small ones beside it where there is a gap.
    assert workspace._planned([span(0, 1, 4), span(1, 2, 8), span(2, 3, 4)]) == 12
    assert workspace._planned([span(0, 9, 5), span(0, 1, 3), span(2, 9, 2)]) == 8


@torch.no_grad()
def test_the_report_has_the_workspace(tmp_path):
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*(nn.Linear(64, 64) for _ in range(4)))

        def forward(self, x):
            return self.layers(x)

    shape = (8, 64)
    chain = Stage("toy", Chain().eval(), (Tensor("x", shape),), (Tensor("y", shape),))
    report = lower(chain, Flavour()).report
    assert report.partitions == 1
    # Of three inner tensors two live at a time; input and output are outside.
    assert report.to_dict()["workspace_bytes"] == 2 * 4 * 8 * 64


@torch.no_grad()
def test_attention_needs_its_scores_once():
    """At full size they are most of the workspace; XNNPACK's softmax works in their place."""
    positions, channels = 64, 16

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.out = nn.Linear(channels, channels), nn.Linear(channels, channels)

        def forward(self, x):
            q = self.q(x)
            scores = torch.softmax(torch.bmm(q, q.transpose(1, 2)), dim=-1)
            return self.out(torch.bmm(scores, q))

    shape = (1, positions, channels)
    toy = Stage("toy", Attention().eval(), (Tensor("x", shape),), (Tensor("y", shape),))
    report = lower(toy, Flavour()).report
    assert report.partitions == 1
    features, scores = 4 * positions * channels, 4 * positions * positions
    assert scores + 2 * features <= report.workspace_bytes <= scores + 3 * features


def test_too_little_memory_or_disk_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "make_stage", lambda *_: pytest.fail("the work has begun"))
    model = random_model("mobilevd-512x256", 0)
    monkeypatch.setattr(room, "available_memory", lambda: 3 << 30)
    says = r"^exporting unet of mobilevd-512x256 takes about \d+\.\d GB of memory, and 3\.2 GB are"
    with pytest.raises(OSError, match=says):
        export_bundle(model, tmp_path / "bundle")
    monkeypatch.setattr(room, "available_memory", lambda: None)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10 << 30))
    with pytest.raises(OSError, match=r"takes about 11\.\d GB of disk .* has 10\.7 GB free$"):
        export_bundle(model, tmp_path / "new" / "bundle")
    assert list(tmp_path.iterdir()) == []
    check_room(get_preset("mini"), Flavour(), tmp_path / "bundle")


def test_the_bytes_of_stages_are_those_of_the_networks():
    model = load_model("mini")
    of_stages = stage_bytes(model.preset)
    assert list(of_stages) == list(STAGES)
    assert of_stages["unet"] == 4 * sum(p.numel() for p in model.unet.parameters())


def test_networks_come_one_at_a_time():
    opened, loaded = open_model("mini"), load_model("mini")
    for name, network in loaded.networks().items():
        part = opened.part(name)
        for other, given in part.networks().items():
            assert all(p.is_meta == (other != name) for p in given.parameters())
        got = part.networks()[name].state_dict()
        assert all(torch.equal(got[key], value) for key, value in network.state_dict().items())
    assert not any(p.is_meta for n in whole(opened).networks().values() for p in n.parameters())


def test_a_folder_that_does_not_fit_is_refused_when_it_is_opened(tmp_path):
    preset = dataclasses.replace(get_preset("mini"), name="other")
    with pytest.raises(FileNotFoundError, match=r"model\.json"):
        open_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(preset.to_dict()))
    with pytest.raises(FileNotFoundError, match=r"unet\.safetensors"):
        open_model(tmp_path)


def test_random_weights_are_drawn_by_seed_and_name():
    first, again, other = (random_model("mini", seed).part("unet").unet for seed in (1, 1, 2))
    tensors = list(first.parameters())
    assert all(torch.equal(a, b) for a, b in zip(tensors, again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(tensors, other.parameters(), strict=True))
    assert len({p.detach().numpy().tobytes() for p in tensors}) == len(tensors)


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_random_weights_give_finite_features_of_some_size(name):
    model = random_model("mini", 0).part(NETWORKS[name])
    stage = make_stage(model, name, "xnnpack")
    output = stage.module(*stage.example())
    assert torch.isfinite(output).all()
    assert 1e-3 < output.std() < 1e3
