"""The settings of a run."""

from __future__ import annotations

from dataclasses import dataclass

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Settings:
    """``steps`` fixes the schedule: warm-up, constant, then linear to zero.

    ``batch_size`` counts clips of all processes; each takes its share, in micro-batches of at most
    ``micro_batch`` clips whose gradients add up. None of this changes the loss. ``precision`` is
    "fp32", or "bf16": autocast where the hardware has it, fp32 where not (``precision.py``).
    """

    steps: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    micro_batch: int | None = None
    weight_decay: float = 1e-2
    ema_decay: float = 0.999
    warmup: int = 200
    cooldown_share: float = 0.4
    clip_norm: float = 1.0
    precision: str = "fp32"
    gradient_checkpointing: bool = False
    workers: int = 0  # processes that draw clips ahead; 0: this one does
    checkpoint_every: int = 200
    log_every: int = 10
    sample_every: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            known = " or ".join(PRECISIONS)
            raise ValueError(f"precision must be {known}, not {self.precision}")

    def scale(self, step: int) -> float:
        """What learning rates are multiplied by at a step."""
        cooldown = max(1, int(self.steps * self.cooldown_share))
        up = (step + 1) / max(1, self.warmup)
        down = (self.steps - step) / cooldown
        return min(1.0, up, down)


# A run may go on with these changed; every other change would make it another run.
FREE_TO_CHANGE = {
    "steps",
    "micro_batch",
    "workers",
    "checkpoint_every",
    "log_every",
    "sample_every",
}
