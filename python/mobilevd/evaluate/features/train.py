"""``mobilevd train-features``: trains the feature network on the "features" split's digits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ...models.store import save_tensors
from ...training.data import MovingDigits, clip_rng
from ...training.data.digits import Digit
from ...whole_files import whole_folder
from .damage import DAMAGES, HARMLESS, damaged
from .network import DIGITS, FRAMES, SEEN, SIZE, FeatureNetwork

NETWORK, RECORD = "network.safetensors", "features.json"


@dataclass(frozen=True)
class Training:
    """A few minutes of one core; everything is a function of ``seed``."""

    steps: int = 1200
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    seed: int = 0
    held_out_clips: int = 512


def numbers(digit: Digit) -> np.ndarray:
    """What is asked for of a digit beside its value, as the network gives it."""
    return np.concatenate([digit.centres[list(SEEN)].ravel(), digit.colour, [digit.side]])


def labelled_batch(
    source: MovingDigits, seed: int, indices: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clips [B, 14, 3, 64, 64] in [-1, 1], the digits' values [B, 2] and numbers [B, 2, n]."""
    drawn = [source.draw_labelled(clip_rng(seed, i), FRAMES, (SIZE, SIZE)) for i in indices]
    pixels = torch.from_numpy(np.stack([clip.frames for clip, _ in drawn]))
    values = torch.tensor([[d.value for d in digits] for _, digits in drawn])
    said = np.array([[numbers(d) for d in digits] for _, digits in drawn], dtype=np.float32)
    return pixels.permute(0, 1, 4, 2, 3).float() / 127.5 - 1, values, torch.from_numpy(said)


def digits_loss(
    logits: torch.Tensor, said: torch.Tensor, values: torch.Tensor, wanted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Per clip [B]: the loss, and whether outputs are matched crosswise.

    Digits have no order, so the cheaper of the two matchings counts.
    """

    def cost(turn: int) -> torch.Tensor:
        v, w = values.roll(turn, 1), wanted.roll(turn, 1)
        named = F.cross_entropy(logits.flatten(0, 1), v.flatten(), reduction="none")
        off = (said - w).square().sum(-1)
        return named.reshape(v.shape).mean(1) + 20 * off.mean(1)

    costs = torch.stack([cost(turn) for turn in range(DIGITS)])
    best = costs.min(0)
    return best.values, best.indices


def loss_of(network: FeatureNetwork, clips: torch.Tensor, values: torch.Tensor,
            wanted: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # fmt: skip
    seen, strengths = damaged(clips, generator)
    logits, said, damage = network(seen)
    harmless = torch.tensor([name in HARMLESS for name in DAMAGES])
    legible = (strengths[:, ~harmless] == 0).all(1).float()
    named, _ = digits_loss(logits, said, values, wanted)
    return (named * legible).mean() + 5 * F.mse_loss(damage, strengths)


@torch.inference_mode()
def held_out_figures(network: FeatureNetwork, clips: int, seed: int = 77) -> dict[str, float]:
    """On the "test" split, whose scans the network has not seen."""
    source, generator = MovingDigits("test"), torch.Generator().manual_seed(seed)
    right, off, error, spread = [], [], [], []
    for start in range(0, clips, 64):
        chosen = range(start, min(clips, start + 64))
        seen, values, wanted = labelled_batch(source, seed, chosen)
        logits, said, _ = network(seen)
        _, turns = digits_loss(logits, said, values, wanted)
        order = (torch.arange(DIGITS) - turns[:, None]) % DIGITS
        right.append(logits.argmax(-1) == values.gather(1, order))
        matched = wanted.gather(1, order[..., None].expand_as(wanted))
        off.append((said - matched).abs())
        hurt, strengths = damaged(seen, generator)
        error.append((network(hurt)[2] - strengths).square())
        spread.append(strengths)
    far = torch.cat(off).mean((0, 1))
    given = torch.cat(spread)
    return {
        "digit_accuracy": float(torch.cat(right).float().mean()),
        "centre_error_pixels": float(far[: 2 * len(SEEN)].mean() * SIZE),
        "colour_error": float(far[2 * len(SEEN) : -1].mean()),
        "damage_r2": float(1 - torch.cat(error).mean() / given.var(0, unbiased=False).mean()),
    }


def train_features(
    output: Path,
    training: Training,
    progress: Callable[[int, int, str], object] = lambda done, total, what: None,
) -> dict[str, Any]:
    """Writes a folder of the weights (fp16) and how they came about; nothing if it is cut off."""
    with whole_folder(output, _is_features_or_empty) as new:
        started = time.monotonic()
        network = trained(training, progress)
        save_tensors(new / NETWORK, network.state_dict(), torch.float16)
        record = {
            "name": "frechet_digits_distance",
            "command": "mobilevd train-features",
            "data": "moving digits, split 'features'",
            "training": asdict(training),
            "params": sum(p.numel() for p in network.parameters()),
            "minutes": round((time.monotonic() - started) / 60, 1),
            "held_out": held_out_figures(network.eval(), training.held_out_clips),
        }
        (new / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    return record


def trained(
    training: Training,
    progress: Callable[[int, int, str], object] = lambda done, total, what: None,
) -> FeatureNetwork:
    """The network after its training, in training mode; the same for the same settings."""
    torch.manual_seed(training.seed)
    network, source = FeatureNetwork().train(), MovingDigits("features")
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=training.steps, pct_start=0.1
    )
    for step in range(training.steps):
        first = step * training.batch_size
        batch = labelled_batch(source, training.seed, range(first, first + training.batch_size))
        generator = torch.Generator().manual_seed(training.seed * 1_000_003 + step)
        loss = loss_of(network, *batch, generator)
        if not torch.isfinite(loss):
            raise RuntimeError(
                f"the loss became {loss.item()} at step {step}: try a lower learning rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress(step + 1, training.steps, f"loss {loss.item():.3f}")
    return network


def _is_features_or_empty(folder: Path) -> bool:
    return {file.name for file in folder.iterdir()} <= {NETWORK, RECORD}
