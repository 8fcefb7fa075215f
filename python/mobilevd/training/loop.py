"""The training loop: players in turn, any number of processes, EMA, exact resume, logs.

One process or many (``accelerate launch``) compute the same losses: a clip's noise belongs to the
clip (clip_noise.py), and gradients are summed over micro-batches and processes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from ..whole_files import write_text
from .checkpoint import load_checkpoint, save_checkpoint
from .clip_noise import ClipNoise
from .data import Batch, ClipData
from .data.prefetch import prefetched
from .gradient_checkpointing import checkpoint_blocks
from .method import Method, Player, moved
from .plot import plot_losses
from .precision import bf16_is_native
from .processes import processes
from .run_log import RunLog
from .settings import FREE_TO_CHANGE, Settings


class TrainingError(RuntimeError):
    """Training cannot go on; the last checkpoint is whole."""


Tensors = dict[str, torch.Tensor]
EXCHANGED = 2**26  # elements of gradients that processes sum at once, and at most one tensor more


def ema_update(average: Tensors, module: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average, shorter while young: min(decay, (1+step)/(10+step))."""
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in module.state_dict().items():
        average[name].lerp_(value, 1 - decay)


class Run:
    """A folder with ``settings.json``, ``log.csv``, ``loss.png``, ``checkpoint/``, ``samples/``."""

    def __init__(
        self,
        folder: Path,
        method: Method,
        data: ClipData,
        settings: Settings,
        inputs: Mapping[str, str] | None = None,
        accelerator: Accelerator | None = None,
        sheet: Callable[[Path], object] | None = None,
    ) -> None:
        """``inputs``: what the run depends on besides settings (name -> sha256); ``sheet`` writes
        a picture of samples of the averaged weights."""
        self.folder, self.method, self.data, self.settings = folder, method, data, settings
        native = bf16_is_native(processes().device.type)
        mixed = "bf16" if settings.precision == "bf16" and native else "no"
        self.accelerator = accelerator or Accelerator(mixed_precision=mixed)
        self.sheet = sheet
        moved(method, self.accelerator.device)
        self.players = {p.name: p for p in method.players}
        if settings.gradient_checkpointing:
            for player in method.players:
                checkpoint_blocks(player.module)
        self.optimizers = {p.name: self._optimizer(p) for p in method.players}
        module = self.players[method.result].module
        self.average = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self._check_settings({**asdict(settings), **(inputs or {})})
        self.step = load_checkpoint(folder / "checkpoint", *self._state())

    def _optimizer(self, player: Player) -> torch.optim.Optimizer:
        settings = self.settings
        decay = settings.weight_decay if player.weight_decay is None else player.weight_decay
        rate = player.learning_rate or settings.learning_rate
        player.module.train()
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in player.module.named_parameters():
            factor = next((f for k, f in player.rates.items() if name.startswith(k)), 1.0)
            groups.setdefault(factor, []).append(parameter)
        return torch.optim.AdamW(
            [{"params": p, "factor": f} for f, p in groups.items()],
            lr=rate,
            weight_decay=decay,
            betas=player.betas,
        )

    def _state(
        self,
    ) -> tuple[dict[str, nn.Module], dict[str, Tensors], dict[str, torch.optim.Optimizer]]:
        """What a checkpoint holds: networks, averages, optimizers."""
        networks: dict[str, nn.Module] = {p.name: p.module for p in self.method.players} | dict(
            self.method.buffers()
        )
        return networks, {self.method.result: self.average}, self.optimizers

    def _check_settings(self, record: dict[str, object]) -> None:
        """A folder belongs to one run; only its length and its conveniences may change."""
        path = self.folder / "settings.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            old = json.loads(path.read_text())
            keys = (set(old) | set(record)) - FREE_TO_CHANGE
            different = sorted(k for k in keys if old.get(k) != record.get(k))
            if different:
                raise TrainingError(
                    f"{self.folder} holds a run with other settings ({', '.join(different)}): "
                    "give the same ones or another folder"
                )
        if self.accelerator.is_main_process:
            write_text(path, json.dumps(record, indent=1) + "\n")

    def save(self) -> None:
        if self.accelerator.is_main_process:
            save_checkpoint(self.folder / "checkpoint", self.step, *self._state())
        self.accelerator.wait_for_everyone()

    def load_average(self) -> None:
        """The averaged weights take the place of the trained ones: the run's result."""
        self.players[self.method.result].module.load_state_dict(self.average)

    def _micro_batches(self, step: int) -> list[Sequence[int]]:
        """The clips of this process in a step, in pieces."""
        size, world = self.settings.batch_size, self.accelerator.num_processes
        if size % world:
            raise TrainingError(f"batch size {size} is not a multiple of {world} processes")
        first = step * size
        own = range(first + self.accelerator.process_index, first + size, world)
        piece = self.settings.micro_batch or len(own)
        return [own[i : i + piece] for i in range(0, len(own), piece)]

    def _stream(self) -> Iterator[Batch]:
        """The micro-batches from this step to the last, made ahead by ``workers`` processes."""
        steps = range(self.step, self.settings.steps)
        pieces = (piece for step in steps for piece in self._micro_batches(step))
        return prefetched(self.data, pieces, self.settings.workers)

    def train_step(self, stream: Iterator[Batch] | None = None) -> dict[str, float]:
        """Every player that is due moves once; the figures to log."""
        step, settings = self.step, self.settings
        self.method.before_step(step, torch.Generator().manual_seed(settings.seed * 1000003 + step))
        pieces, device = self._micro_batches(step), self.accelerator.device
        drawn = (next(stream) if stream else self.data.batch(piece) for piece in pieces)
        batches = [batch.to(device) for batch in drawn]
        figures: dict[str, float] = {}
        for salt, (name, player) in enumerate(self.players.items()):
            if step % player.every == 0:
                figures |= self._move(player, pieces, batches, salt)
                if name == self.method.result:
                    ema_update(self.average, player.module, settings.ema_decay, step)
        self.method.after_step(step)
        self.step += 1
        return figures

    def _move(
        self, player: Player, pieces: list[Sequence[int]], batches: list[Batch], salt: int
    ) -> dict[str, float]:
        settings, accelerator = self.settings, self.accelerator
        for other in self.players.values():
            other.module.requires_grad_(other is player)
        optimizer = self.optimizers[player.name]
        optimizer.zero_grad(set_to_none=True)
        sums: dict[str, torch.Tensor] = {}
        for piece, batch in zip(pieces, batches, strict=True):
            noise = ClipNoise(settings.seed, piece, salt, accelerator.device)
            with accelerator.autocast():
                loss = self.method.loss(player.name, batch, noise)
            share = len(piece) / settings.batch_size
            (loss.total * share).backward()
            for key, value in {"loss": loss.total, **loss.parts}.items():
                sums[key] = sums.get(key, 0.0) + value.detach().float() * share
        parameters = [p for p in player.module.parameters() if p.grad is not None]
        if accelerator.num_processes > 1:
            _sum_gradients(accelerator, parameters)
            sums = {k: accelerator.reduce(v, "sum") for k, v in sums.items()}
        figures = {f"{player.name}_{k}": float(v) for k, v in sums.items()}
        norm = float(nn.utils.clip_grad_norm_(parameters, settings.clip_norm))
        if not math.isfinite(figures[f"{player.name}_loss"]) or not math.isfinite(norm):
            raise TrainingError(
                f"the loss of {player.name} became {figures[f'{player.name}_loss']} (gradient "
                f"{norm}) at step {self.step}; the last good checkpoint is "
                f"{self.folder / 'checkpoint'} (try a lower --learning-rate)"
            )
        base = player.learning_rate or settings.learning_rate
        for group in optimizer.param_groups:
            group["lr"] = base * group["factor"] * settings.scale(self.step)
        optimizer.step()
        return {**figures, f"{player.name}_gradient": norm}

    def train(self, max_minutes: float | None = None) -> bool:
        """Until ``steps`` (True) or ``max_minutes`` (False, resumable); checkpoints on the way."""
        settings, started, main = self.settings, time.monotonic(), self.accelerator.is_main_process
        log = RunLog(self.folder / "log.csv", self.step) if main else None
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        hidden = not (console.is_terminal and main)
        with Progress(*columns, console=console, disable=hidden) as bar:
            task = bar.add_task("train", total=settings.steps, completed=self.step)
            stream = self._stream()
            while self.step < settings.steps:
                figures = self.train_step(stream)
                losses = ", ".join(f"{k} {v:.4f}" for k, v in figures.items() if "_loss" in k)
                bar.update(task, completed=self.step, description=losses)
                last = self.step == settings.steps
                if log:
                    log.add(figures)
                    if self.step % settings.log_every == 0 or last:
                        log.write(self.step, settings.scale(self.step - 1))
                late = max_minutes is not None and self._late(started + 60 * max_minutes)
                if self.step % settings.checkpoint_every == 0 or last or late:
                    self.save()
                    if main and self.step >= settings.log_every:
                        plot_losses(self.folder / "log.csv", self.folder / "loss.png")
                if settings.sample_every and (self.step % settings.sample_every == 0 or last):
                    self._write_sheet()
                if late and not last:
                    return False
        return True

    def _late(self, end: float) -> bool:
        """Whether the time is over for the main process: all have to stop at the same step."""
        over = torch.tensor(float(time.monotonic() > end), device=self.accelerator.device)
        if not self.accelerator.is_main_process:
            over.zero_()
        return bool(self.accelerator.reduce(over, "sum"))

    def _write_sheet(self) -> None:
        """Samples of the averaged weights; the trained ones come back afterwards."""
        if self.sheet is None or not self.accelerator.is_main_process:
            return
        module = self.players[self.method.result].module
        trained = {k: v.detach().clone() for k, v in module.state_dict().items()}
        module.load_state_dict(self.average)
        module.eval()
        self.sheet(self.folder / "samples" / f"{self.step:06d}.png")
        module.load_state_dict(trained)
        module.train()


def _sum_gradients(accelerator: Accelerator, parameters: Sequence[nn.Parameter]) -> None:
    """All gradients, piece by piece: a piece and its sum are copies, which cost memory.

    Every process has the same gradients, so the layouts agree.
    """
    piece: list[torch.Tensor] = []
    gradients = [p.grad for p in parameters if p.grad is not None]
    for i, gradient in enumerate(gradients):
        piece.append(gradient)
        if i + 1 < len(gradients) and sum(g.numel() for g in piece) < EXCHANGED:
            continue
        flat = accelerator.reduce(torch.cat([g.flatten() for g in piece]), "sum")
        for one, part in zip(piece, flat.split([g.numel() for g in piece]), strict=True):
            one.copy_(part.view_as(one))
        piece = []
