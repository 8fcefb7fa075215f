"""LADD: latent adversarial diffusion distillation (arXiv 2403.12015; facts 7).

The teacher's own clips, made with guidance, take the place of real ones: the run's data are
``sample_latents.SampledClips``. There is no reconstruction term: the game alone, with the teacher's
features as judge.

    L_D = E max(0, 1 + D(real)) + gamma R1 + E max(0, 1 - D(fake)),  L_G = E D(fake)

The student denoises from t in {1, .75, .5, .25} of rectified flow, which is sigma = t / (1 - t);
the judge's t is logit-normal, which in sigma is log-normal with the same two constants.

Deviations: SF-V's discriminator (encoder of the UNet, spatial and temporal heads) for heads after
every block of a transformer, as SF-V's authors had it for SVD (facts 0.4); its sign convention;
t = 1 is sigma 700. Rates, R1 and the student's every second step are FastGen's for video.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...models.store import Model
from ..clip_noise import ClipNoise
from ..noise import SIGMA_MAX, log_normal
from .sfv import Sfv, SfvConstants

FLOW_TIMES = (1.0, 0.75, 0.5, 0.25)


def flow_sigma(t: float) -> float:
    """x_t = (1 - t) x0 + t n is (1 - t)(x0 + sigma n)."""
    return SIGMA_MAX if t == 1.0 else t / (1 - t)


@dataclass(frozen=True)
class LaddConstants(SfvConstants):
    teacher_steps: int = 25  # of its clips, each step with and without condition; SVD's own
    generator_sigmas: tuple[float, ...] = tuple(flow_sigma(t) for t in FLOW_TIMES)
    warm_up: int = 500  # steps with the weights beside it
    warm_up_weights: tuple[float, ...] = (0.0, 0.0, 0.5, 0.5)
    generator_weights: tuple[float, ...] = (0.7, 0.1, 0.1, 0.1)
    p_mean: float = 1.0  # of logit t (LADD's m and s)
    p_std: float = 1.0
    reconstruction: float = 0.0
    r1: float = 0.1  # FastGen
    r1_form: str = "finite_difference"
    generator_rate: float = 2e-6
    discriminator_rate: float = 4e-6
    generator_every: int = 2


LADD_CONSTANTS = LaddConstants()
# For the mini presets (see SFV_MINI); every step trains both, there are so few. The judge sees less
# noise, as SF-V's does: with LADD's own (m = 1) the clips stay blurred (distance 25.6).
LADD_MINI = LaddConstants(
    teacher_steps=10,
    warm_up=50,
    head_blocks=1,
    p_mean=-2.0,
    generator_rate=2e-4,
    discriminator_rate=5e-4,
    generator_every=1,
)


class Ladd(Sfv):
    """``batch.latents`` are the teacher's clips (see above)."""

    constants: LaddConstants

    def __init__(
        self,
        model: Model,
        teacher: Model,
        constants: LaddConstants = LADD_CONSTANTS,
        with_temporal_heads: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(model, teacher, constants, with_temporal_heads, checkpointing)
        self.step = 0

    def before_step(self, step: int, generator: torch.Generator) -> None:
        self.step = step

    def generator_weights(self) -> tuple[float, ...]:
        k = self.constants
        return k.warm_up_weights if self.step < k.warm_up else k.generator_weights

    def discriminator_sigma(self, noise: ClipNoise) -> torch.Tensor:
        return log_normal(noise, self.constants.p_mean, self.constants.p_std)
