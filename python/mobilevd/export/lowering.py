"""A stage becomes a program: the one place that knows every backend."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .flavour import Flavour
from .report import StageReport, explaining
from .stages import Stage


@dataclass
class Lowered:
    """A serialised program and what is known of it; ``weights`` outside it write themselves
    (``Cord.write_to_file``)."""

    program: bytes
    report: StageReport
    weights: dict[str, Any] = field(default_factory=dict)


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Importing ExecuTorch's exporter warns of optional GPU kernels that no CPU build has."""
    for name in ("executorch", "torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def lower(stage: Stage, flavour: Flavour, spool: Path | None = None) -> Lowered:
    """The stage, made by ``make_stage`` for the same backend, as an ExecuTorch program.

    Given a folder ``spool``, a backend that can leaves the weights out of the program; they are to
    be written before the folder goes.
    """
    weights: dict[str, Any] = {}
    with quiet_exporter(), explaining():
        if flavour.backend == "xnnpack":
            from .xnnpack import lower_xnnpack

            program, weights, report = lower_xnnpack(stage, flavour, spool)
        elif flavour.backend == "vulkan":
            from .vulkan import lower_vulkan

            program, report = lower_vulkan(stage, flavour)
        elif flavour.backend == "qnn":
            from .qnn import lower_qnn

            program, report = lower_qnn(stage, flavour)
        else:
            raise ValueError(f"no lowering for the backend '{flavour.backend}'")
    return Lowered(program, report, weights)
