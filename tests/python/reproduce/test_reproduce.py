"""The benchmark's machinery, two steps a stage: order, resume, what is published, its tables."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from mobilevd.cli.main import main
from mobilevd.models import create_unet
from mobilevd.models.store import load_model
from mobilevd.reproduce import measure, rows, run, stages
from mobilevd.reproduce.ablations import ABLATIONS
from mobilevd.reproduce.stages import STAGES, stage_named
from mobilevd.reproduce.table import TEACHER, cells, write_tables
from mobilevd.training.methods.mobilevd import multiscaled

SHORT = {"steps": 2, "batch_size": 2, "warmup": 1, "log_every": 1, "precision": "fp32"}


@pytest.fixture(scope="module")
def short():
    """The real stages, but of two steps on two clips."""

    def cut(stage):
        return replace(stage, settings=replace(stage.settings, **SHORT), cached_clips=2)

    with pytest.MonkeyPatch.context() as patch:
        named = {s.name: cut(s) for s in STAGES}
        patch.setattr(run, "stage_named", named.__getitem__)
        yield named


@pytest.fixture(scope="module")
def small(short, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    made = run.Benchmark(folder / "results", folder / "work")
    for name in ("autoencoder", "pretraining", "low_resolution", "cross_attention", "adversarial"):
        stage = short[name]
        if name == "low_resolution":  # the teacher's size is not what is tested here
            stage = replace(stage, start="pretraining", teacher="pretraining")
            short[name] = stage
        assert run.run_stage(made, stage, None, lambda *_: None)
    return made


def test_every_start_and_teacher_comes_earlier():
    seen = set()
    for stage in (*STAGES, *ABLATIONS):
        assert {stage.start, stage.teacher} - {None} <= seen, stage.name
        assert stage.name not in seen
        seen.add(stage.name)
    for row in (*rows.SYSTEMS, *rows.STAGE_ROWS, *rows.ABLATION_ROWS):
        assert stage_named(row.stage).preset_name == row.preset_name or row.name == "svd"
    assert [r.name for r in rows.SYSTEMS] == [
        "svd-hd", "animatelcm", "ufogen", "ladd", "sfv", "mobilevd-hd", "svd", "mobilevd",
    ]  # fmt: skip


def test_the_ablations_of_multiscaling_have_levels_to_leave_out():
    chosen = [stage for stage in ABLATIONS if stage.stage == "multiscaling"]
    assert [stage.options.multiscaling for stage in chosen] == [
        ("spatial",), ("temporal", "spatial"),
    ]  # fmt: skip
    for stage in chosen:
        with torch.device("meta"):
            unet = create_unet(stage.preset.unet.uncompressed)
        multiscaled(unet, stage.options).config.check_latents(*stage.preset.latent_size)


def test_what_a_stage_leaves(small, short):
    for name in ("pretraining", "adversarial"):
        assert small.done(short[name])
        record = json.loads((small.log(name) / "stage.json").read_text())
        assert record["stage"]["settings"]["steps"] == 2
        assert record["seconds"] > 0
        assert (small.log(name) / "log.csv").is_file()
    model = load_model(small.weights("adversarial"))
    assert model.unet.config.collapsed_cross_attention
    assert model.preset.sampling.evaluations == 1
    assert load_model(small.weights("low_resolution")).preset.sampling.evaluations == 50


def test_done_stages_are_not_run_again(small, short, monkeypatch):
    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(run, "train", never)
    assert run.run_stage(small, short["pretraining"], None, lambda *_: None)
    other = replace(short["pretraining"], settings=replace(short["pretraining"].settings, seed=9))
    assert not small.done(other)
    with pytest.raises(ValueError, match="starts from svd-hd, which is not there yet"):
        run.run_stage(small, short["sfv"], None, lambda *_: None)


def test_a_row_is_measured_once(small, monkeypatch):
    row = rows.Row("adversarial", "adversarial", "mini", "+ adversarial finetuning")
    figures = measure.measure_row(small, row, lambda *_: None, clips=3, latency=False)
    assert figures["nfe"] == 1
    assert figures["distance"] > 0
    low, high = figures["distance_ci95"]
    assert low <= figures["distance"] <= high
    assert 0 < figures["tflops_per_clip"] < 0.01
    assert (small.results / "sheets" / "adversarial.png").is_file()
    monkeypatch.setattr(measure, "measure", None)
    assert measure.measure_row(small, row, lambda *_: None, clips=3, latency=False) == figures
    monkeypatch.setattr(measure, "latency_ms", lambda *_: 5.0)
    timed = measure.measure_row(small, row, lambda *_: None, clips=3)
    assert timed == {**figures, "latency_ms": 5.0}
    monkeypatch.setattr(measure, "latency_ms", None)
    assert measure.measure_row(small, row, lambda *_: None, clips=3) == timed


def test_tables(small, tmp_path):
    row = json.loads((small.results / "rows" / "adversarial.json").read_text())
    teacher = {**row, "name": TEACHER, "distance": 2.0, "tflops_per_clip": 1.0, "latency_ms": 5.0}
    mobilevd = {**row, "name": "mobilevd", "distance": 3.0, "tflops_per_clip": 0.01}
    (tmp_path / "rows").mkdir()
    for each in (teacher, mobilevd):
        (tmp_path / "rows" / f"{each['name']}.json").write_text(json.dumps(each))
    write_tables(tmp_path)
    names = [r["name"] for r in json.loads((tmp_path / "table.json").read_text())]
    assert names == ["svd-hd", "mobilevd"]
    line = cells([mobilevd], teacher)[0]
    assert line[4] == "1.50"
    assert line[8] == "100x"
    assert "| mobilevd | 1 | 3.00 |" in (tmp_path / "table.md").read_text()


def test_command_lists_and_refuses(capsys, tmp_path):
    def code(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(["reproduce", *arguments])
        return stop.value.code

    assert code("--list", "--results", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert all(stage.name in out for stage in STAGES)
    assert code("--stage", "magic") == 2
    assert "unknown stage 'magic'; known: autoencoder, pretraining" in capsys.readouterr().err
    assert code("--preset", "svd-512x256") == 2
    assert code("--evaluate-only", "--train-only") == 2


def test_cut_off_between_weights_and_record(small, short, tmp_path):
    """The record is written last: a stage killed before it is done again."""
    copy = run.Benchmark(tmp_path / "results", small.work)
    shutil.copytree(small.results, copy.results)
    (copy.log("pretraining") / "stage.json").unlink()
    assert not copy.done(short["pretraining"])
    assert run.run_stage(copy, short["pretraining"], None, lambda *_: None)
    assert stages.stage_named("pretraining").settings.steps > 2
    assert copy.done(short["pretraining"])
