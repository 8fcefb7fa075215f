"""Resume is exact, any cut of a batch gives the same losses, and nothing whole is ever lost."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from mobilevd.training import loop
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.data import Batch
from mobilevd.training.loop import Run, TrainingError
from mobilevd.training.method import Loss, Method, Player
from mobilevd.training.settings import Settings
from safetensors import SafetensorError
from torch import nn

SETTINGS = Settings(
    steps=12, batch_size=4, learning_rate=1e-2, warmup=2, checkpoint_every=5, log_every=1
)


class Numbers:
    """Clip i is a picture of the number i, so that the order of the data shows in the losses."""

    def batch(self, indices):
        values = torch.tensor([float(i % 7) for i in indices])
        return Batch(values[:, None, None, None].expand(-1, 3, 1, 1), values, values)


class Game(Method):
    """Two players: a regression, and one that moves every second step; a target that follows."""

    result = "model"

    def __init__(self, bad_step=None):
        torch.manual_seed(0)
        self.model, self.rival, self.target = nn.Linear(3, 1), nn.Linear(1, 1), nn.Linear(3, 1)
        self.target.requires_grad_(False)
        self.players = (
            Player("rival", self.rival, learning_rate=1e-3, every=2),
            Player("model", self.model, rates={"bias": 10.0}),
        )
        self.bad_step, self.step, self.gate = bad_step, 0, 1.0

    def before_step(self, step, generator):
        self.step, self.gate = step, float(torch.rand((), generator=generator))

    def after_step(self, step):
        for mine, theirs in zip(self.target.parameters(), self.model.parameters(), strict=True):
            mine.data.lerp_(theirs.data, 0.1)

    def buffers(self):
        return {"target": self.target}

    def loss(self, player, batch, noise):
        x = batch.first[:, :, 0, 0] + noise.normal(3)
        error = (self.model(x) - x.sum(1, keepdim=True) - 0.1 * self.target(x)).square().mean(1)
        if player == "rival":
            error = (self.rival(error[:, None]) - self.gate).square().mean(1)
        if self.step == self.bad_step:
            error = error * float("nan")
        return Loss(error.mean(), {"twice": 2 * error.mean()})


def run(folder, settings=SETTINGS, **options):
    return Run(folder, Game(**options), Numbers(), settings)


def losses(folder):
    rows = csv.DictReader((folder / "log.csv").read_text().splitlines())
    return [(row["step"], row["model_loss"], row["rival_loss"]) for row in rows]


def test_resume_is_bit_exact(tmp_path):
    whole = run(tmp_path / "whole")
    assert whole.train()
    first = run(tmp_path / "parts")
    for _ in range(7):  # past the checkpoint at 5: those two steps are lost and done again
        first.train_step()
        if first.step == 5:
            first.save()
    second = run(tmp_path / "parts")
    assert second.step == 5
    assert second.train()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")[5:]
    for key, value in whole.average.items():
        assert torch.equal(value, second.average[key])
    for name in ("model", "rival", "target"):
        mine, theirs = getattr(whole.method, name), getattr(second.method, name)
        assert torch.equal(mine.weight, theirs.weight)
    assert (tmp_path / "whole" / "loss.png").stat().st_size > 5000


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_micro_batches_change_nothing(tmp_path, micro_batch):
    whole, cut = (
        run(tmp_path / "a"),
        run(tmp_path / "b", replace(SETTINGS, micro_batch=micro_batch)),
    )
    for _ in range(4):
        a, b = whole.train_step(), cut.train_step()
        assert a.keys() == b.keys()
        np.testing.assert_allclose([*a.values()], [*b.values()], rtol=1e-5)


def test_players_rates_and_turns(tmp_path):
    one = run(tmp_path, replace(SETTINGS, warmup=0, clip_norm=1e9, weight_decay=0.0))
    before = [p.detach().clone() for p in one.method.model.parameters()]
    assert "rival_loss" in one.train_step()
    assert "rival_loss" not in one.train_step()
    weight, bias = (
        (p - b).abs().max().item()
        for p, b in zip(one.method.model.parameters(), before, strict=True)
    )
    assert bias > 5 * weight


def test_other_settings_are_refused_but_a_longer_run_is_not(tmp_path):
    run(tmp_path).train()
    with pytest.raises(TrainingError, match="other settings \\(learning_rate\\)"):
        run(tmp_path, replace(SETTINGS, learning_rate=1.0))
    with pytest.raises(TrainingError, match="other settings \\(vae_sha256\\)"):
        Run(tmp_path, Game(), Numbers(), SETTINGS, {"vae_sha256": "other"})
    longer = run(tmp_path, replace(SETTINGS, steps=14))
    assert longer.step == 12
    assert longer.train()


def test_nan_stops_and_keeps_the_checkpoint(tmp_path):
    bad = run(tmp_path, bad_step=8)
    with pytest.raises(TrainingError, match=r"nan .*at step 8; the last good .*checkp"):
        bad.train()
    assert run(tmp_path).step == 5


def test_kill_between_the_renames(tmp_path):
    run(tmp_path).train()
    (tmp_path / "checkpoint").rename(tmp_path / ".checkpoint.old")
    assert run(tmp_path).step == 12


@pytest.mark.parametrize("kind", [OSError, SafetensorError])  # the library's own is no OSError
def test_disk_full_keeps_the_previous_checkpoint(tmp_path, monkeypatch, kind):
    one = run(tmp_path)
    one.train_step()
    one.save()

    def full(*_):
        raise kind("No space left on device")

    one.train_step()
    monkeypatch.setattr("mobilevd.models.store.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        one.save()
    assert run(tmp_path).step == 1


def test_a_damaged_checkpoint_is_named(tmp_path):
    run(tmp_path).train()
    path = tmp_path / "checkpoint" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"checkpoint is damaged .*: delete it to start anew"):
        run(tmp_path)


def test_noise_belongs_to_the_clip():
    whole, parts = ClipNoise(1, range(4)), [ClipNoise(1, [i]) for i in range(4)]
    assert torch.equal(whole.normal(2, 3), torch.cat([p.normal(2, 3) for p in parts]))
    assert torch.equal(whole.uniform(), torch.cat([p.uniform() for p in parts]))
    assert not torch.equal(ClipNoise(1, [0]).normal(4), ClipNoise(1, [0], salt=1).normal(4))
    assert not torch.equal(ClipNoise(1, [0]).normal(4), ClipNoise(2, [0]).normal(4))
    drawn = ClipNoise(0, range(4000)).choice(torch.tensor([1.0, 0.0, 3.0]))
    assert (drawn == 1).sum() == 0
    assert abs((drawn == 2).float().mean().item() - 0.75) < 0.03


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[2])
from test_loop import SETTINGS, run
from pathlib import Path
a_run = run(Path(sys.argv[1]))
assert a_run.accelerator.num_processes == 2
a_run.train()
from mobilevd.models.tiny_vae import TinyVae, TinyVaeConfig
from mobilevd.training.data import Batch, cached_latents
import torch
class Data:
    made = []
    def batch(self, indices):
        self.made += indices
        i = torch.tensor([float(i) for i in indices])
        spread = lambda *shape: i.reshape(-1, *[1 for _ in shape]).expand(-1, *shape)
        return Batch(spread(3, 2, 2) / 10, i, i, latents=spread(4, 4, 1, 1))
cached_latents.PIECE = 2
vae = TinyVae(TinyVaeConfig(width=8, encoder_blocks=(0, 1), decoder_blocks=(1, 0)))
folder = Path(sys.argv[1]) / "kept"
kept = cached_latents.cache_latents(folder, vae, Data(), 5, {"a": "b"})
assert Data.made == ([0, 1, 4] if a_run.accelerator.is_main_process else [2, 3]), Data.made
assert [float(x) for x in kept.batch(range(5)).fps] == [0, 1, 2, 3, 4]
"""


def test_two_processes_give_the_losses_of_one(tmp_path):
    """`accelerate launch` with two CPU processes: real communication (gloo). They also share the
    making of a cache."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    here = os.path.dirname(__file__)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", "0", str(program), str(tmp_path / "two"), here,
    ]  # fmt: skip
    subprocess.run(launch, env=environment, check=True, timeout=240)
    assert run(tmp_path / "one").train()
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 12
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(
            [float(v or 0) for v in a], [float(v or 0) for v in b], rtol=1e-4
        )
    averages = [run(tmp_path / n).average["weight"] for n in ("one", "two")]
    assert torch.allclose(*averages, rtol=1e-4)


def test_gradients_are_summed_in_pieces(monkeypatch):
    """Two processes with the same gradients, and pieces of at most one tensor too many."""
    sizes = []

    class Doubling:
        def reduce(self, value, how):
            assert how == "sum"
            sizes.append(len(value))
            return 2 * value

    monkeypatch.setattr(loop, "EXCHANGED", 5)
    parameters = [nn.Parameter(torch.zeros(n)) for n in (4, 3, 2, 2, 9, 1)]
    for i, parameter in enumerate(parameters):
        parameter.grad = torch.arange(parameter.numel()) + 10.0 * i
    loop._sum_gradients(Doubling(), parameters)
    assert sizes == [7, 13, 1]
    for i, parameter in enumerate(parameters):
        assert torch.equal(parameter.grad, 2 * (torch.arange(parameter.numel()) + 10.0 * i))


@pytest.mark.timeout(300)
def test_train_command_survives_kill_9(tmp_path):
    """The real thing: `mobilevd train`, killed, run again, equals an undisturbed run."""
    common = [
        sys.executable, "-m", "mobilevd", "train", "--preset", "mini", "--method", "autoencoder",
        "--batch-size", "1", "--steps", "30", "--checkpoint-every", "10",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "killed"
    process = subprocess.Popen([*common, "-o", str(folder)], env=environment)
    deadline = time.monotonic() + 200
    while not (folder / "checkpoint").is_dir():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*common, "-o", str(folder)], env=environment, check=True)
    subprocess.run([*common, "-o", str(tmp_path / "whole")], env=environment, check=True)

    def figures(folder):
        rows = csv.DictReader((folder / "log.csv").read_text().splitlines())
        return [(r["step"], r["vae_loss"], r["vae_gradient"]) for r in rows]

    assert figures(folder) == figures(tmp_path / "whole")
    assert len(figures(folder)) == 3
    assert json.loads((folder / "settings.json").read_text())["steps"] == 30
