"""SVD's own objective: denoise a clip given its first frame (facts: mobilevd-paper 3.1).

Loss: E |v(c_in x, c_noise, c) - v*|^2 with x = x0 + sigma n, log sigma ~ N(0.7, 1.6^2), which is
SVD's weighted denoising loss (see ``preconditioning.v_target``). Picture and token are dropped at
random, so that guidance has an unconditional branch. Low-resolution finetuning (MobileVD 3.1) is
this method at another size.

Deviations: where the image encoder is ours and not CLIP it is trained along (``train_encoder``).
"""

from __future__ import annotations

from torch import nn

from ...models.preconditioning import v_target
from ...models.store import Model
from ..clip_noise import ClipNoise
from ..conditioning import Conditioning, predict_v
from ..data import Batch
from ..method import Loss, Method, Player
from ..noise import P_MEAN, P_STD, log_normal


class Svd(Method):
    result = "denoiser"

    def __init__(self, model: Model, train_encoder: bool = False) -> None:
        self.model = model
        model.vae.eval().requires_grad_(False)
        model.image_encoder.requires_grad_(False)
        networks: dict[str, nn.Module] = {"unet": model.unet}
        if train_encoder:
            networks["image_encoder"] = model.image_encoder
        self.players = (Player("denoiser", nn.ModuleDict(networks)),)

    def loss(self, player: str, batch: Batch, noise: ClipNoise) -> Loss:
        c = Conditioning(self.model, batch, noise)
        c.drop(noise)
        sigma = log_normal(noise, P_MEAN, P_STD)
        x, n = c.noised(sigma, noise)
        v = predict_v(self.model.unet, x, sigma, c)
        return Loss((v - v_target(c.x0, n, sigma)).square().mean(), {})
