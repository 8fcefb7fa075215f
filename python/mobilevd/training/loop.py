"""The training loop: AdamW, EMA, atomic checkpoints, exact resume, logs."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file
from torch import nn

from ..models.store import save_tensors
from ..whole_files import recover_folder, whole_folder, write_text
from .plot import plot_losses


class TrainingError(RuntimeError):
    """Training cannot go on; the last checkpoint is whole."""


@dataclass(frozen=True)
class Settings:
    """A run. ``steps`` fixes the schedule: warm-up, constant, then linear to zero."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    weight_decay: float = 1e-2
    ema_decay: float = 0.999
    warmup: int = 200
    cooldown_share: float = 0.4
    clip_norm: float = 1.0
    precision: str = "fp32"
    checkpoint_every: int = 200
    log_every: int = 10

    def rate(self, step: int) -> float:
        cooldown = max(1, int(self.steps * self.cooldown_share))
        up = (step + 1) / max(1, self.warmup)
        down = (self.steps - step) / cooldown
        return self.learning_rate * min(1.0, up, down)


class Method(Protocol):
    """What is trained: ``loss`` depends on (step, generator) and the weights only."""

    @property
    def trainable(self) -> nn.Module: ...

    def loss(self, step: int, settings: Settings, generator: torch.Generator) -> torch.Tensor: ...


def ema_update(ema: dict[str, torch.Tensor], model: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average, shorter while young: min(decay, (1+step)/(10+step))."""
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in model.state_dict().items():
        ema[name].lerp_(value, 1 - decay)


class Run:
    """A folder with ``settings.json``, ``log.csv``, ``loss.png`` and ``checkpoint/``."""

    def __init__(
        self,
        folder: Path,
        method: Method,
        settings: Settings,
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        """``inputs``: what the run depends on besides settings (name -> sha256)."""
        self.folder, self.method, self.settings = Path(folder), method, settings
        self.record = {**asdict(settings), **(inputs or {})}
        self.optimizer = torch.optim.AdamW(
            method.trainable.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.99),
        )
        self.ema = {k: v.detach().clone() for k, v in method.trainable.state_dict().items()}
        self.step = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        recover_folder(self.folder / "checkpoint")
        if (self.folder / "checkpoint").is_dir():
            self._load()
        else:
            text = json.dumps(self.record, indent=1) + "\n"
            write_text(self.folder / "settings.json", text)

    def _load(self) -> None:
        folder = self.folder / "checkpoint"
        saved = json.loads((self.folder / "settings.json").read_text())
        # More or fewer steps only move the cool-down: a run may be lengthened or ended early.
        wanted = {**self.record, "steps": saved["steps"]}
        changed = [k for k, v in wanted.items() if saved.get(k) != v]
        if changed:
            raise TrainingError(
                f"{self.folder} was started with other settings ({', '.join(changed)}): "
                "use them again, or another --output"
            )
        self.method.trainable.load_state_dict(load_file(folder / "model.safetensors"))
        self.ema = load_file(folder / "ema.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
        state = json.loads((folder / "state.json").read_text())
        self.step = state["step"]
        for i, p in enumerate(self.optimizer.param_groups[0]["params"]):
            self.optimizer.state[p] = {
                "step": torch.tensor(float(self.step)),
                "exp_avg": moments[f"{i}.exp_avg"],
                "exp_avg_sq": moments[f"{i}.exp_avg_sq"],
            }

    def save(self) -> None:
        """The new checkpoint is written beside the old one, which goes only when it is whole."""
        moments = {
            f"{i}.{k}": self.optimizer.state[p][k]
            for i, p in enumerate(self.optimizer.param_groups[0]["params"])
            for k in ("exp_avg", "exp_avg_sq")
        }
        with whole_folder(self.folder / "checkpoint", lambda folder: True) as new:
            save_tensors(new / "model.safetensors", self.method.trainable.state_dict())
            save_tensors(new / "ema.safetensors", self.ema)
            save_tensors(new / "optimizer.safetensors", moments)
            (new / "state.json").write_text(json.dumps({"step": self.step}))

    def train_step(self) -> float:
        """One optimizer step. All randomness comes from (seed, step): resume needs no RNG state."""
        settings, model = self.settings, self.method.trainable
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + self.step)
        bf16 = settings.precision == "bf16"
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = self.method.loss(self.step, settings, generator)
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss became {loss.item()} at step {self.step}; the last good checkpoint is "
                f"{self.folder / 'checkpoint'} (try a lower --learning-rate)"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        if not torch.isfinite(norm):
            raise TrainingError(f"the gradient is not finite at step {self.step}")
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate(self.step)
        self.optimizer.step()
        ema_update(self.ema, model, settings.ema_decay, self.step)
        self.step += 1
        return loss.item()

    def _truncate_log(self) -> None:
        """Drop rows after the checkpoint: they will be written again."""
        path = self.folder / "log.csv"
        rows = list(csv.reader(path.open()))[1:] if path.is_file() else []
        rows = [r for r in rows if int(r[0]) <= self.step]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["step", "loss", "learning_rate", "seconds"], *rows])

    def train(self, max_minutes: float | None = None) -> bool:
        """Until ``steps`` (True) or ``max_minutes`` (False, resumable); checkpoints on the way."""
        settings, started, losses = self.settings, time.monotonic(), []
        self._truncate_log()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("train", total=settings.steps, completed=self.step)
            while self.step < settings.steps:
                losses.append(self.train_step())
                bar.update(task, completed=self.step, description=f"loss {losses[-1]:.4f}")
                last = self.step == settings.steps
                if self.step % settings.log_every == 0 or last:
                    row = [self.step, f"{sum(losses) / len(losses):.6f}"]
                    row += [f"{settings.rate(self.step - 1):.3e}"]
                    row += [f"{time.monotonic() - started:.1f}"]
                    with (self.folder / "log.csv").open("a", newline="") as file:
                        csv.writer(file).writerow(row)
                    losses = []
                late = max_minutes is not None and time.monotonic() - started > 60 * max_minutes
                if self.step % settings.checkpoint_every == 0 or last or late:
                    self.save()
                    plot_losses(self.folder / "log.csv", self.folder / "loss.png")
                if late and not last:
                    return False
        return True
