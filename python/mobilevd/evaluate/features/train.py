"""``mobilevd train-features``: trains the feature network on the "features" split's digits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
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
from .network import FRAMES, SEEN, SIZE, VALUES, FeatureNetwork

NETWORK, RECORD = "network.safetensors", "features.json"


@dataclass(frozen=True)
class Training:
    """A few minutes of one core; everything is a function of ``seed``."""

    steps: int = 800
    batch_size: int = 24
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    seed: int = 0
    held_out_clips: int = 512


@dataclass(frozen=True)
class Labelled:
    """``clips`` [B, 14, 3, 64, 64] in [-1, 1]; of their digits ``values`` [B, 2], ``placement``
    [B, 2, PLACEMENT] and ``centres`` [B, 2, 14, 2], (x, y) as shares of the side."""

    clips: torch.Tensor
    values: torch.Tensor
    placement: torch.Tensor
    centres: torch.Tensor


def placement(digit: Digit) -> np.ndarray:
    return np.concatenate([digit.centres[list(SEEN)].ravel(), digit.colour, [digit.side]])


def labelled_batch(source: MovingDigits, seed: int, indices: Sequence[int]) -> Labelled:
    drawn = [source.draw_labelled(clip_rng(seed, i), FRAMES, (SIZE, SIZE)) for i in indices]

    def of_digits(what: Callable[[Digit], Any], dtype: type) -> torch.Tensor:
        rows = [[what(d) for d in digits] for _, digits in drawn]
        return torch.from_numpy(np.array(rows, dtype=dtype))

    pixels = torch.from_numpy(np.stack([clip.frames for clip, _ in drawn]))
    return Labelled(
        pixels.permute(0, 1, 4, 2, 3).float() / 127.5 - 1,
        of_digits(lambda d: d.value, np.int64),
        of_digits(placement, np.float32),
        of_digits(lambda d: d.centres, np.float32),
    )


def matched(said: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """``wanted`` [B, 2, n] with each clip's two digits in the order that fits ``said`` better:
    digits have none of their own."""
    crossed = wanted.flip(1)
    straight = (said - wanted).square().sum((1, 2)) <= (said - crossed).square().sum((1, 2))
    return torch.where(straight[:, None, None], wanted, crossed)


def frames_of(value_map: torch.Tensor) -> torch.Tensor:
    """The numbers of the clip's frames that a map's T are centred on."""
    return torch.linspace(0, FRAMES - 2, value_map.shape[2]).round().long()


def at_centres(value_map: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Logits [B, 2, T, n] of a map [B, n, T, h, w] where the digits are in its frames."""
    there = 2 * centres[:, :, frames_of(value_map)] - 1
    grid = there.transpose(1, 2).flatten(0, 1)[:, None]  # [B T, 1, 2, 2]
    found = F.grid_sample(value_map.transpose(1, 2).flatten(0, 1), grid, align_corners=False)
    return found[:, :, 0].unflatten(0, (len(centres), -1)).permute(0, 3, 1, 2)


def far_from_digits(value_map: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """[B, T, h, w]: 1 where no digit's centre is within a fifth of the side, else 0."""
    height, width = value_map.shape[-2:]
    y, x = (torch.arange(n) + 0.5 for n in (height, width))
    places = torch.stack(torch.meshgrid(x / width, y / height, indexing="xy"), -1)
    there = centres[:, :, frames_of(value_map), None, None]  # [B, 2, T, 1, 1, 2]
    return ((there - places).norm(dim=-1) > 0.2).all(1).float()


def presence(values: torch.Tensor) -> torch.Tensor:
    """[B, 10]: 1 where one of the digits has the value."""
    return F.one_hot(values, VALUES).amax(1).float()


def loss_of(
    network: FeatureNetwork, batch: Labelled, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Parts of the loss; what the digits are is asked of clips whose damage leaves it legible."""
    seen, strengths = damaged(batch.clips, generator)
    said = network(seen)
    harmful = torch.tensor([name not in HARMLESS for name in DAMAGES])
    legible = (strengths[:, harmful] == 0).all(1).float()

    def of_legible(loss: torch.Tensor) -> torch.Tensor:
        return (loss.flatten(1).mean(1) * legible).sum() / legible.sum().clamp_min(1)

    logits = at_centres(said.value_map, batch.centres)
    far = far_from_digits(said.value_map, batch.centres)
    none = -said.value_map.log_softmax(1)[:, -1] * far
    values = batch.values[:, :, None].expand(logits.shape[:3])
    wanted = matched(said.placement.detach(), batch.placement)
    return {
        "present": 3 * of_legible(F.binary_cross_entropy_with_logits(
            said.present, presence(batch.values), reduction="none")),
        "value": of_legible(F.cross_entropy(
            logits.permute(0, 3, 1, 2), values, reduction="none")),
        "none": of_legible(none),
        "placement": 100 * of_legible((said.placement - wanted).square()),
        "damage": 50 * F.mse_loss(said.damage, strengths),
    }  # fmt: skip


@torch.inference_mode()
def held_out_figures(network: FeatureNetwork, clips: int, seed: int = 77) -> dict[str, float]:
    """On the "test" split, whose scans the network has not seen.

    ``value_accuracy``: share of the two likeliest values that are there (of one, where both digits
    have the same); ``damage_r2``: share of the strengths' variance that is explained.
    """
    source, generator = MovingDigits("test"), torch.Generator().manual_seed(seed)
    right, off, error, given = [], [], [], []
    for start in range(0, clips, 64):
        batch = labelled_batch(source, seed, range(start, min(clips, start + 64)))
        said, there = network(batch.clips), presence(batch.values)
        order = said.present.argsort(1, descending=True)
        hits = there.gather(1, order)
        count = there.sum(1).long()
        right += [hits[i, :n].mean() for i, n in enumerate(count.tolist())]
        off.append((said.placement - matched(said.placement, batch.placement)).abs())
        hurt, strengths = damaged(batch.clips, generator)
        error.append((network(hurt).damage - strengths).square())
        given.append(strengths)
    far = torch.cat(off).mean((0, 1))
    spread = torch.cat(given).var(0, unbiased=False).mean()
    return {
        "value_accuracy": float(torch.stack(right).mean()),
        "centre_error_pixels": float(far[: 2 * len(SEEN)].mean() * SIZE),
        "colour_error": float(far[2 * len(SEEN) : -1].mean()),
        "damage_r2": float(1 - torch.cat(error).mean() / spread),
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
        parts = loss_of(network, batch, generator)
        loss = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(loss):
            raise RuntimeError(
                f"the loss became {loss.item()} at step {step}: try a lower learning rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress(step + 1, training.steps, _shown(parts))
    return network


def _shown(parts: Mapping[str, torch.Tensor]) -> str:
    return " ".join(f"{name} {value.item():.3f}" for name, value in parts.items())


def _is_features_or_empty(folder: Path) -> bool:
    return {file.name for file in folder.iterdir()} <= {NETWORK, RECORD}
