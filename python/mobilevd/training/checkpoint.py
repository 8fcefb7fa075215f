"""A run's checkpoint: safetensors and JSON in one folder that is whole or not there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..models.store import save_tensors
from ..whole_files import recover_folder, whole_folder

MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(
    folder: Path,
    step: int,
    networks: Mapping[str, nn.Module],
    averages: Mapping[str, Mapping[str, torch.Tensor]],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> None:
    """Written beside the old one, which goes only when the new one is whole."""
    with whole_folder(folder, lambda old: True) as new:
        for name, network in networks.items():
            save_tensors(new / f"{name}.safetensors", network.state_dict())
        for name, average in averages.items():
            save_tensors(new / f"{name}.average.safetensors", average)
        moves: dict[str, list[int]] = {}
        for name, optimizer in optimizers.items():
            states = [optimizer.state[p] for p in _parameters(optimizer)]
            moments = {f"{i}.{m}": s[m] for i, s in enumerate(states) if s for m in MOMENTS}
            moves[name] = [int(s["step"]) if s else 0 for s in states]
            save_tensors(new / f"{name}.optimizer.safetensors", moments)
        (new / "state.json").write_text(json.dumps({"step": step, "moves": moves}))


def load_checkpoint(
    folder: Path,
    networks: Mapping[str, nn.Module],
    averages: Mapping[str, dict[str, torch.Tensor]],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> int:
    """Fills what is given, in place; the number of steps done, 0 if there is no checkpoint.

    ValueError (one line): one that is damaged.
    """
    recover_folder(folder)
    if not folder.is_dir():
        return 0
    with _damage_named(folder):
        state = json.loads((folder / "state.json").read_text())
        for name, network in networks.items():
            network.load_state_dict(load_file(folder / f"{name}.safetensors"))
        for name, average in averages.items():
            for key, value in load_file(folder / f"{name}.average.safetensors").items():
                average[key].copy_(value)
        for name, optimizer in optimizers.items():
            moments = load_file(folder / f"{name}.optimizer.safetensors")
            for i, parameter in enumerate(_parameters(optimizer)):
                if moves := state["moves"][name][i]:
                    optimizer.state[parameter] = {
                        "step": torch.tensor(float(moves)),
                        **{m: moments[f"{i}.{m}"].to(parameter.device) for m in MOMENTS},
                    }
        return int(state["step"])


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        what = str(error).splitlines()[0]
        raise ValueError(
            f"{folder} is damaged or of another version ({what}): delete it to start anew"
        ) from None


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]
