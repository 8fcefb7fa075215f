"""MobileVD's recipe: stages in the paper's order, each from the weights of the one before.

    low_resolution    SVD's own objective at the small size (3.1)
    cross_attention   collapsed, without loss and without training (3.2)
    adversarial       50 evaluations become 1 (3.3)
    multiscaling      half the frames inside (3.4)
    pruning           the most important temporal blocks stay (3.5)
    funnels           narrow self-attention, merged into the weights at the end (3.6)

From `adversarial` on every stage trains with SF-V's game: the paper's own constants and the
losses of its later stages are not in what we have (facts 2.6, 10). MobileVD-HD is the same
without the first stage, at the large size. The discriminator's heads go on from stage to stage,
as the student does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from ...compress.cross_attention import collapse_cross_attention
from ...compress.funnels import add_funnels, merge_funnels
from ...compress.importance import L1Pruner, TemporalBlockPruner
from ...compress.multiscaling import add_spatial_multiscaling, add_temporal_multiscaling
from ...compress.temporal_blocks import prune_temporal_blocks
from ...models.plan import temporal_blocks
from ...models.store import Model
from ...models.unet import UNet
from ..clip_noise import ClipNoise
from ..conditioning import Conditioning
from ..method import Loss, Method, Player
from ..settings import Settings
from .mobilevd_options import STAGES, Options
from .sfv import SFV_CONSTANTS, Sfv, SfvConstants
from .svd import Svd

IMPORTANCE_RATE = 100.0  # times the generator's learning rate: 38 scalars against 1.5 G weights
FIXED_SHARE = 0.4  # of the steps, at the end, with the chosen blocks


class MobileVd(Sfv):
    """One adversarial stage; with ``pruner``, temporal blocks are chosen on the way."""

    def __init__(
        self,
        model: Model,
        teacher: Model,
        options: Options,
        constants: SfvConstants = SFV_CONSTANTS,
        pruner: TemporalBlockPruner | L1Pruner | None = None,
        choose_until: int = 0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(model, teacher, constants, options.temporal_heads, checkpointing)
        self.options, self.pruner, self.choose_until = options, pruner, choose_until
        if isinstance(pruner, TemporalBlockPruner):
            discriminator, generator = self.players
            both = nn.ModuleDict({"unet": model.unet, "pruner": pruner})
            rates = {"pruner.": IMPORTANCE_RATE}
            k = constants
            self.players = (
                discriminator,
                Player("generator", both, generator.learning_rate, k.betas, 0.0, rates=rates),
            )

    def before_step(self, step: int, generator: torch.Generator) -> None:
        if self.pruner is not None and step >= self.choose_until:
            self.pruner.fix_top()
        elif isinstance(self.pruner, TemporalBlockPruner):
            self.pruner.sample(generator)

    def buffers(self) -> Mapping[str, nn.Module]:
        return {"pruner": self.pruner} if isinstance(self.pruner, L1Pruner) else {}

    def generator_loss(self, c: Conditioning, noise: ClipNoise) -> Loss:
        loss = super().generator_loss(c, noise)
        if isinstance(self.pruner, L1Pruner) and self.pruner.gates is None:
            penalty = self.pruner.penalty()
            loss = Loss(loss.total + penalty, {**loss.parts, "l1": penalty})
        return loss


def begin(
    stage: str,
    model: Model,
    teacher: Model,
    options: Options,
    settings: Settings,
    constants: SfvConstants = SFV_CONSTANTS,
    checkpointing: bool = False,
) -> Method:
    """The stage's change of the UNet, in ``model``, and the method that trains it.

    ValueError for another stage; ``cross_attention`` needs no training (:func:`collapse`).
    """
    if stage == "low_resolution":
        return Svd(model, train_encoder=False)
    if stage == "multiscaling":
        model.unet = multiscaled(model.unet, options)
    elif stage == "funnels":
        model.unet = add_funnels(
            model.unet, options.fun_factor, options.funnel_layers, options.funnel_init
        )
        if options.merged_first:
            model.unet = merge_funnels(model.unet)
    elif stage not in ("adversarial", "pruning"):
        known = ", ".join(s for s in STAGES if s != "cross_attention")
        raise ValueError(f"no stage '{stage}' to train; known: {known}")
    pruner: TemporalBlockPruner | L1Pruner | None = None
    choose_until = 0
    if stage == "pruning":
        blocks = temporal_blocks(model.unet.config)
        n = options.kept(blocks)
        choose_until = int(settings.steps * (1 - FIXED_SHARE))
        if options.pruning == "learned":
            pruner = TemporalBlockPruner(model.unet, n)
        elif options.pruning == "l1":
            pruner = L1Pruner(model.unet, n)
        else:
            order = torch.randperm(
                len(blocks), generator=torch.Generator().manual_seed(settings.seed)
            )
            model.unet = prune_temporal_blocks(model.unet, [blocks[i] for i in order[:n]])
    _record(model)
    return MobileVd(model, teacher, options, constants, pruner, choose_until, checkpointing)


def collapse(model: Model) -> None:
    """Stage ``cross_attention``."""
    model.unet = collapse_cross_attention(model.unet)
    _record(model)


def multiscaled(unet: UNet, options: Options) -> UNet:
    if "temporal" in options.multiscaling:
        unet = add_temporal_multiscaling(unet)
    if "spatial" in options.multiscaling:
        unet = add_spatial_multiscaling(unet)
    return unet


def finish(model: Model, method: Method) -> None:
    """What is left to do to the UNet: delete the blocks not chosen, merge the funnels."""
    if isinstance(method, MobileVd) and method.pruner is not None:
        model.unet = method.pruner.keep_top()
    if model.unet.config.unmerged_funnels:
        model.unet = merge_funnels(model.unet)
    _record(model)


def _record(model: Model) -> None:
    model.preset = replace(model.preset, unet=model.unet.config)
