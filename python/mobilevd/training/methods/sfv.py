"""SF-V: one step from noise to clip by adversarial finetuning (arXiv 2406.04324; facts 4).

The generator, which starts as the teacher, denoises x0 + sigma n at once, sigma from the upper
levels of a coarse Karras grid. Real clips and its clips get noise of a low level sigma' and are
told apart by the teacher's frozen encoder with spatial and temporal heads.

    L_D = E max(0, 1 + D(real)) + gamma R1 + E max(0, 1 - D(fake))
    L_G = E D(fake) + lambda (sqrt(|x^ - x0|^2 + c^2) - c)        (the norm of a whole clip)

Deviations: gamma and c are not published, ours are; Adam for SM3; the real and the generated clip
get the same sigma' and the same noise, so that nothing else tells them apart (FastGen does so);
P_std is 1 (the paper's -1 is the same distribution).

``loss`` is the adversarial core of other methods, too: they give a compressed student, or
override ``generator_sigma`` and ``discriminator_sigma``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...models.store import Model
from ..clip_noise import ClipNoise
from ..conditioning import Conditioning, predict_x0
from ..data import Batch
from ..discriminators.gradient_penalty import exact_r1, finite_difference_r1
from ..discriminators.on_teacher import TeacherDiscriminator, twice_differentiable
from ..losses import clip_pseudo_huber, hinge_fake, hinge_generator, hinge_real
from ..method import Loss, Method, Player
from ..noise import discretized_log_normal, karras_grid

R1_FORMS = ("latents", "features", "finite_difference")


@dataclass(frozen=True)
class SfvConstants:
    """Defaults are the paper's where it gives them (facts 4)."""

    # A Karras grid of 4 without the lowest level: 700, 70.5, 2.27; uniform.
    generator_sigmas: tuple[float, ...] = tuple(karras_grid(4)[:-1].tolist())
    generator_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    discriminator_levels: int = 1000
    p_mean: float = -1.0  # of log sigma': "the" sensitive constant (SF-V table 3)
    p_std: float = 1.0
    reconstruction: float = 0.1  # lambda
    huber: float = 0.00054  # c / sqrt(d); arXiv 2310.14189's
    r1: float = 1e-2  # gamma; ours
    r1_form: str = "latents"
    r1_step: float = 0.1  # a of the finite difference (FastGen)
    generator_rate: float = 1e-5
    discriminator_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.999)
    generator_every: int = 1
    head_blocks: int = 0  # residual blocks of a discriminator's head

    def __post_init__(self) -> None:
        if self.r1_form not in R1_FORMS:
            raise ValueError(f"unknown R1 '{self.r1_form}'; known: {', '.join(R1_FORMS)}")
        if len(self.generator_weights) != len(self.generator_sigmas):
            raise ValueError("generator_sigmas and generator_weights must be as many")


SFV_CONSTANTS = SfvConstants()
# For the mini presets: networks 200 times smaller and some hundred steps of 8 clips. Two thirds of
# the steps train the one level that inference starts from. Measured on mini's teacher: published
# heads on its features tell held-out clips from the student's in 69 % after 330 steps of 16, heads
# with a residual block in 95 % (log sigma' around -2), and the clips get nearer to real ones with
# them (results/mini). With published heads the game's gradient on a clip was 1.4 times that of
# 0.1 |x^ - x0|, which pulls to the mean of all continuations, so lambda is a fifth of the paper's;
# the exact R1 was 0.014, next to nothing, and cost as much as the rest of the discriminator's step:
# its finite difference (FastGen's) does.
SFV_MINI = SfvConstants(
    generator_weights=(4.0, 1.0, 1.0),
    reconstruction=0.02,
    p_mean=-2.0,
    r1=1.0,
    r1_form="finite_difference",
    head_blocks=1,
    generator_rate=2e-4,
    discriminator_rate=5e-4,
)


def prepare_networks(model: Model, teacher: Model) -> None:
    """Freezes all but the student's UNet, which is trained in place.

    ValueError if the student is the teacher itself.
    """
    if model.unet is teacher.unet:
        raise ValueError("student and teacher are one network: load or copy the model twice")
    for network in (*teacher.networks().values(), model.vae, model.image_encoder):
        network.eval().requires_grad_(False)
    model.unet.requires_grad_(True)


class Sfv(Method):
    """``model`` is trained in place; ``teacher`` gives the discriminator's encoder."""

    result = "generator"

    def __init__(
        self,
        model: Model,
        teacher: Model,
        constants: SfvConstants = SFV_CONSTANTS,
        with_temporal_heads: bool = True,
        checkpointing: bool = False,
    ) -> None:
        prepare_networks(model, teacher)
        self.model, self.constants = model, constants
        self.discriminator = TeacherDiscriminator(
            teacher, with_temporal_heads, checkpointing, blocks=constants.head_blocks
        )
        k = constants
        self.players: Sequence[Player] = (
            Player("discriminator", self.discriminator.heads, k.discriminator_rate, k.betas, 0.0),
            Player("generator", model.unet, k.generator_rate, k.betas, 0.0, k.generator_every),
        )
        grid = karras_grid(k.discriminator_levels)
        self.discriminator_grid = grid.float()
        self.discriminator_weights = discretized_log_normal(grid, k.p_mean, k.p_std)

    def generator_sigma(self, noise: ClipNoise) -> torch.Tensor:
        index = noise.choice(torch.tensor(self.generator_weights()))
        return torch.tensor(self.constants.generator_sigmas, device=index.device)[index]

    def generator_weights(self) -> tuple[float, ...]:
        return self.constants.generator_weights

    def discriminator_sigma(self, noise: ClipNoise) -> torch.Tensor:
        index = noise.choice(self.discriminator_weights)
        return self.discriminator_grid.to(index.device)[index]

    def generated(self, c: Conditioning, noise: ClipNoise) -> torch.Tensor:
        """x^ from the clip's own noised latents, one evaluation."""
        sigma = self.generator_sigma(noise)
        x, _ = c.noised(sigma, noise)
        return predict_x0(self.model.unet, x, sigma, c)

    def loss(self, player: str, batch: Batch, noise: ClipNoise) -> Loss:
        with torch.no_grad():
            c = Conditioning(self.model, batch, noise)
        if player == "discriminator":
            return self.discriminator_loss(c, noise)
        return self.generator_loss(c, noise)

    def discriminator_loss(self, c: Conditioning, noise: ClipNoise) -> Loss:
        d, k = self.discriminator, self.constants
        with torch.no_grad():
            fake = self.generated(c, noise)
            sigma = self.discriminator_sigma(noise)
            n = sigma.reshape(-1, 1, 1, 1, 1) * noise.normal(*fake.shape[1:])
            fake_features = d.features(fake + n, sigma, c)
        on_fake = d.logits(fake_features, sigma, c)
        real = c.x0 + n
        if k.r1_form == "latents":
            real.requires_grad_(True)
            with twice_differentiable():
                on_real = d(real, sigma, c)
            penalty = exact_r1(on_real, [real])
        else:
            with torch.no_grad():
                features = d.features(real, sigma, c)
            for f in features:
                f.requires_grad_(k.r1_form == "features")
            on_real = d.logits(features, sigma, c)
            if k.r1_form == "features":
                penalty = exact_r1(on_real, features)
            else:
                with torch.no_grad():
                    moved = d.features(real + k.r1_step * noise.normal(*n.shape[1:]), sigma, c)
                penalty = finite_difference_r1(on_real, d.logits(moved, sigma, c))
        parts = {"real": hinge_real(on_real), "fake": hinge_fake(on_fake), "r1": penalty}
        return Loss(parts["real"] + k.r1 * penalty + parts["fake"], parts)

    def generator_loss(self, c: Conditioning, noise: ClipNoise) -> Loss:
        k = self.constants
        fake = self.generated(c, noise)
        parts = {"adversarial": self.adversarial(fake, c, noise)}
        total = parts["adversarial"]
        if k.reconstruction:
            parts["reconstruction"] = clip_pseudo_huber(fake, c.x0, k.huber)
            total = total + k.reconstruction * parts["reconstruction"]
        return Loss(total, parts)

    def adversarial(self, fake: torch.Tensor, c: Conditioning, noise: ClipNoise) -> torch.Tensor:
        sigma = self.discriminator_sigma(noise)
        n = noise.normal(*fake.shape[1:])
        noised = fake + sigma.reshape(-1, 1, 1, 1, 1) * n
        return hinge_generator(self.discriminator(noised, sigma, c))
