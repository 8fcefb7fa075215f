"""AnimateLCM: consistency distillation of the guided teacher (arXiv 2402.00769; facts 5).

On a grid of N Karras levels a clip is noised to sigma_i; one Euler step of the guided teacher
takes it to sigma_(i+1). What the student sees in the first must be what its slow copy (the target
network) sees in the second:

    L = E w_i (sqrt((x^_i - x~_(i+1))^2 + c^2) - c),  w_i = (sigma_i - sigma_(i+1))^-0.1

The boundary, that a clip without noise is its own prediction, is in c_skip and c_out. Sampling is
multistep consistency: predict, noise to the next of 8 of the 40 levels, predict (without guidance,
which is distilled).

Deviations: none known in the loss; the data are clips of the preset's length and size.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...models.preconditioning import denoised
from ...models.store import Model
from ..clip_noise import ClipNoise
from ..conditioning import Conditioning, predict_x0
from ..data import Batch
from ..guidance import frame_guidance, guided_v
from ..losses import pseudo_huber
from ..method import Loss, Method, Player
from ..noise import karras_grid
from .sfv import prepare_networks


@dataclass(frozen=True)
class AnimateLcmConstants:
    """Defaults are those of the authors' SVD trainer (facts 5)."""

    levels: int = 40
    guidance_starts: tuple[float, ...] = (1.0, 1.25, 1.5)
    guidance_ends: tuple[float, ...] = (2.0, 2.25, 2.5)
    huber: float = 1e-3
    weight_power: float = -0.1
    target_decay: float = 0.95
    learning_rate: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-3


ANIMATELCM_CONSTANTS = AnimateLcmConstants()
ANIMATELCM_MINI = AnimateLcmConstants(learning_rate=2e-4)  # see SFV_MINI


class AnimateLcm(Method):
    """``model`` is trained in place, ``teacher`` makes the Euler step, ``target`` follows."""

    result = "student"

    def __init__(
        self,
        model: Model,
        teacher: Model,
        constants: AnimateLcmConstants = ANIMATELCM_CONSTANTS,
    ) -> None:
        prepare_networks(model, teacher)
        self.model, self.teacher, self.constants, k = model, teacher, constants, constants
        self.target = copy.deepcopy(model.unet).requires_grad_(False)
        student = Player("student", model.unet, k.learning_rate, k.betas, k.weight_decay)
        self.players: Sequence[Player] = (student,)
        self.sigmas = torch.cat([karras_grid(k.levels), torch.zeros(1)]).float()

    def loss(self, player: str, batch: Batch, noise: ClipNoise) -> Loss:
        k = self.constants
        with torch.no_grad():
            c = Conditioning(self.model, batch, noise)
            index = noise.choice(torch.ones(k.levels))
            sigmas = self.sigmas.to(index.device)
            sigma, following = sigmas[index], sigmas[index + 1]
            x, _ = c.noised(sigma, noise)
            target = self.consistent(self.euler_step(x, sigma, following, c, noise), following, c)
        weights = (sigma - following) ** k.weight_power
        loss = pseudo_huber(predict_x0(self.model.unet, x, sigma, c), target, k.huber, weights)
        return Loss(loss, {})

    def euler_step(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        following: torch.Tensor,
        c: Conditioning,
        noise: ClipNoise,
    ) -> torch.Tensor:
        """x at ``sigma`` taken to ``following`` by the teacher; guidance drawn for each clip."""
        k = self.constants
        start, end = (
            torch.tensor(choices, device=x.device)[noise.choice(torch.ones(len(choices)))]
            for choices in (k.guidance_starts, k.guidance_ends)
        )
        guidance = frame_guidance(start, end, x.shape[1])
        clean = denoised(x, guided_v(self.teacher.unet, x, sigma, c, guidance), sigma)
        return clean + (following / sigma).reshape(-1, 1, 1, 1, 1) * (x - clean)

    def consistent(self, x: torch.Tensor, sigma: torch.Tensor, c: Conditioning) -> torch.Tensor:
        """The target network's clip; without noise, x itself (its logarithm has no value at 0)."""
        prediction = predict_x0(self.target, x, sigma.clamp(min=float(self.sigmas[-2])), c)
        return torch.where(sigma.reshape(-1, 1, 1, 1, 1) > 0, prediction, x)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        own = self.model.unet.state_dict()
        for name, value in self.target.state_dict().items():
            value.lerp_(own[name], 1 - self.constants.target_decay)

    def buffers(self) -> Mapping[str, nn.Module]:
        return {"target": self.target}
