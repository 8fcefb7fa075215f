"""Resume after a kill is exact; a NaN stops the run; checkpoints are whole or not there."""

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from mobilevd.training.loop import Run, Settings, TrainingError
from torch import nn

SETTINGS = Settings(
    steps=12, batch_size=2, learning_rate=1e-2, warmup=2, checkpoint_every=5, log_every=1
)


class Toy:
    """A regression whose loss depends on the step and the generator."""

    def __init__(self, bad_step=None):
        torch.manual_seed(0)
        self.trainable, self.bad_step = nn.Linear(4, 1), bad_step

    def loss(self, step, settings, generator):
        x = torch.randn(settings.batch_size, 4, generator=generator)
        loss = (self.trainable(x) - x.sum(1, keepdim=True)).square().mean()
        return loss * float("nan") if step == self.bad_step else loss


def losses(folder):
    return [row["loss"] for row in csv.DictReader((folder / "log.csv").open())]


def test_resume_is_bit_exact(tmp_path):
    whole = Run(tmp_path / "whole", Toy(), SETTINGS)
    assert whole.train()
    first = Run(tmp_path / "parts", Toy(), SETTINGS)
    for _ in range(7):  # past the checkpoint at 5: those two steps are lost and done again
        first.train_step()
        if first.step == 5:
            first.save()
    second = Run(tmp_path / "parts", Toy(), SETTINGS)
    assert second.step == 5
    assert second.train()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")[5:]
    for key, value in whole.ema.items():
        assert torch.equal(value, second.ema[key])
    assert torch.equal(whole.method.trainable.weight, second.method.trainable.weight)
    assert (tmp_path / "whole" / "loss.png").stat().st_size > 5000


def test_other_settings_are_refused_but_a_longer_run_is_not(tmp_path):
    Run(tmp_path, Toy(), SETTINGS).train()
    with pytest.raises(TrainingError, match="other settings \\(learning_rate\\)"):
        Run(tmp_path, Toy(), replace(SETTINGS, learning_rate=1.0))
    with pytest.raises(TrainingError, match="other settings \\(vae_sha256\\)"):
        Run(tmp_path, Toy(), SETTINGS, {"vae_sha256": "other"})
    longer = Run(tmp_path, Toy(), replace(SETTINGS, steps=14))
    assert longer.step == 12
    assert longer.train()


def test_nan_stops_and_keeps_the_checkpoint(tmp_path):
    run = Run(tmp_path, Toy(bad_step=8), SETTINGS)
    with pytest.raises(TrainingError, match=r"nan at step 8; the last good checkpoint is .*checkp"):
        run.train()
    assert Run(tmp_path, Toy(), SETTINGS).step == 5


def test_kill_between_the_renames(tmp_path):
    run = Run(tmp_path, Toy(), SETTINGS)
    run.train()
    (tmp_path / "checkpoint").rename(tmp_path / ".checkpoint.old")
    assert Run(tmp_path, Toy(), SETTINGS).step == 12


def test_disk_full_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    run = Run(tmp_path, Toy(), SETTINGS)
    run.train_step()
    run.save()

    def full(*_):
        raise OSError(28, "No space left on device")

    run.train_step()
    monkeypatch.setattr("mobilevd.models.store.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        run.save()
    assert Run(tmp_path, Toy(), SETTINGS).step == 1


@pytest.mark.timeout(300)
def test_train_command_survives_kill_9(tmp_path):
    """The real thing: `mobilevd train`, killed, run again, equals an undisturbed run."""
    common = [
        sys.executable, "-m", "mobilevd", "train", "--preset", "mini", "--method", "autoencoder",
        "--batch-size", "1", "--steps", "400",
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
    killed, whole = losses(folder), losses(tmp_path / "whole")
    assert killed == whole
    assert len(whole) == 40
