"""UFOGen: diffusion and GAN in one (arXiv 2311.09257, SIDDMs 2306.12511; facts 6).

Generator and discriminator are both whole diffusion UNets, both trained. The generator predicts
x^ from x_t; the discriminator tells real from fake at the earlier time t' = t - T/4, where both
are noised afresh (q(x_t'|x^), not the posterior: that permits one step). Its last layer starts at
zero and every output is a logit.

    L_D = BCE(D(q(x0, t')), 1) + BCE(D(q(x^, t')), 0),  logits limited to 0.5 and -0.5
    L_G = BCE(D(q(x^, t')), 1) + |v(x_t) - v*|^2

Deviations: in SVD's terms (v-prediction, whose plain error is SVD's weighted denoising loss);
times are those of SD's noise schedule, for which UFOGen was made, with pure noise (sigma 700) at
its last one: a quarter of SVD's Karras grid back from 700 is sigma 135, where nothing can be told
apart. SF-V's authors, short of memory, used their own discriminator in this row (facts 0.4).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...models.preconditioning import denoised, v_target
from ...models.store import Model
from ..clip_noise import ClipNoise
from ..conditioning import Conditioning, predict_v
from ..data import Batch
from ..losses import bce_fake, bce_generator, bce_real
from ..method import Loss, Method, Player
from ..noise import SIGMA_MAX
from .sfv import prepare_networks

TIMES = 1000  # T
BETA_START, BETA_END = 0.00085, 0.012  # SD's "scaled linear" schedule


def schedule_sigmas() -> torch.Tensor:
    """sigma of times 0 .. T-1, rising, float64 [T]; the last is pure noise."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TIMES, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)
    sigmas = ((1 - kept) / kept).sqrt()
    sigmas[-1] = SIGMA_MAX
    return sigmas


@dataclass(frozen=True)
class UfoGenConstants:
    """Defaults are the author's code's (facts 6)."""

    times: tuple[int, ...] = tuple(range(TIMES))  # t is uniform among them
    jump: int = TIMES // 4  # t - t'
    reconstruction: float = 1.0
    logit_limit: float = 0.5
    generator_rate: float = 1e-4
    discriminator_rate: float = 1e-4
    generator_betas: tuple[float, float] = (0.9, 0.999)
    discriminator_betas: tuple[float, float] = (0.0, 0.999)
    discriminator_every: int = 2


UFOGEN_CONSTANTS = UfoGenConstants()
# For the mini presets (see SFV_MINI): the four times of UFOGen's own sampler, so that one step in
# four trains pure noise, not one in a thousand.
UFOGEN_MINI = UfoGenConstants(
    times=(249, 499, 749, 999),
    generator_rate=2e-4,
    discriminator_rate=2e-4,
)


class UfoGen(Method):
    """``model`` is trained in place; the discriminator starts as a copy of ``teacher``."""

    result = "generator"

    def __init__(
        self, model: Model, teacher: Model, constants: UfoGenConstants = UFOGEN_CONSTANTS
    ) -> None:
        prepare_networks(model, teacher)
        self.model, self.constants, k = model, constants, constants
        self.discriminator = copy.deepcopy(teacher.unet).requires_grad_(True)
        for parameter in self.discriminator.conv_out.parameters():
            nn.init.zeros_(parameter)
        self.players: Sequence[Player] = (
            Player(
                "discriminator",
                self.discriminator,
                k.discriminator_rate,
                k.discriminator_betas,
                0.0,
                k.discriminator_every,
            ),
            Player("generator", model.unet, k.generator_rate, k.generator_betas, 0.0),
        )
        self.sigmas = schedule_sigmas().float()

    def loss(self, player: str, batch: Batch, noise: ClipNoise) -> Loss:
        k = self.constants
        with torch.no_grad():
            c = Conditioning(self.model, batch, noise)
            times = torch.tensor(k.times)
            t = times[noise.choice(torch.ones(len(times))).cpu()]
            sigma, earlier = (
                self.sigmas[i].to(c.x0.device) for i in (t, (t - k.jump).clamp(min=0))
            )
            x, n = c.noised(sigma, noise)
        if player == "discriminator":
            return self.discriminator_loss(x, sigma, earlier, c, noise)
        v = predict_v(self.model.unet, x, sigma, c)
        logits = self.logits(denoised(x, v, sigma), earlier, c, noise)
        parts = {
            "adversarial": bce_generator([logits]),
            "reconstruction": (v - v_target(c.x0, n, sigma)).square().mean(),
        }
        return Loss(parts["adversarial"] + k.reconstruction * parts["reconstruction"], parts)

    def discriminator_loss(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        earlier: torch.Tensor,
        c: Conditioning,
        noise: ClipNoise,
    ) -> Loss:
        limit = self.constants.logit_limit
        with torch.no_grad():
            fake = denoised(x, predict_v(self.model.unet, x, sigma, c), sigma)
        parts = {
            "real": bce_real([self.logits(c.x0, earlier, c, noise)], limit),
            "fake": bce_fake([self.logits(fake, earlier, c, noise)], -limit),
        }
        return Loss(parts["real"] + parts["fake"], parts)

    def logits(
        self, x0: torch.Tensor, sigma: torch.Tensor, c: Conditioning, noise: ClipNoise
    ) -> torch.Tensor:
        """[B, F*4*h*w] of a clip noised afresh to sigma."""
        n = noise.normal(*x0.shape[1:])
        noised = x0 + sigma.reshape(-1, 1, 1, 1, 1) * n
        return predict_v(self.discriminator, noised, sigma, c).flatten(1)
