"""What all methods owe the loop, played by the loop itself on a small model."""

from dataclasses import replace

import pytest
import torch
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.loop import Run
from mobilevd.training.methods.animatelcm import ANIMATELCM_CONSTANTS, AnimateLcm
from mobilevd.training.methods.ladd import LADD_CONSTANTS, Ladd
from mobilevd.training.methods.sfv import R1_FORMS, SFV_CONSTANTS, Sfv
from mobilevd.training.methods.ufogen import UFOGEN_CONSTANTS, UfoGen
from mobilevd.training.settings import Settings
from small_models import batch_of, small_models

FAST = {"generator_rate": 1e-3, "discriminator_rate": 1e-3}
METHODS = {
    "animatelcm": lambda *m: AnimateLcm(*m, replace(ANIMATELCM_CONSTANTS, learning_rate=1e-3)),
    "ladd": lambda *m: Ladd(*m, replace(LADD_CONSTANTS, **FAST)),
    "ufogen": lambda *m: UfoGen(*m, replace(UFOGEN_CONSTANTS, **FAST)),
    **{
        f"sfv-{form}": lambda *m, form=form: Sfv(*m, replace(SFV_CONSTANTS, r1_form=form, **FAST))
        for form in R1_FORMS
    },
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)


class FewClips:
    """Two clips over and over: what can be learned, quickly."""

    def batch(self, indices):
        whole = batch_of(2)
        picked = [i % 2 for i in indices]
        return type(whole)(**{k: v[picked] for k, v in vars(whole).items() if v is not None})


def run(method, folder, steps):
    settings = Settings(steps, 2, 1e-3, warmup=0, cooldown_share=0.0, clip_norm=10.0)
    return Run(folder, method, FewClips(), settings)


@every_method
def test_losses_do_not_depend_on_the_cut(make):
    method = make(*small_models())
    torch.manual_seed(0)
    for salt, player in enumerate(method.players):
        for p in player.module.parameters():  # UFOGen's discriminator starts at zero
            p.data.add_(0.01 * torch.randn_like(p))
        whole = method.loss(player.name, batch_of(4), ClipNoise(0, range(4), salt))
        halves = [
            method.loss(player.name, batch_of(2, i), ClipNoise(0, range(i, i + 2), salt))
            for i in (0, 2)
        ]
        mean = sum(float(h.total) for h in halves) / 2
        assert float(whole.total) == pytest.approx(mean, rel=1e-4, abs=1e-5)
        for key, value in whole.parts.items():
            mean = sum(float(h.parts[key]) for h in halves) / 2
            assert float(value) == pytest.approx(mean, rel=1e-4, abs=1e-5)


@every_method
def test_thirty_steps_move_the_players_and_nothing_else(make, tmp_path):
    student, teacher = small_models()
    method = make(student, teacher)
    frozen = {k: v.clone() for k, v in teacher.unet.state_dict().items()}
    start = {p.name: [v.detach().clone() for v in p.module.parameters()] for p in method.players}
    torch.manual_seed(7)
    position = torch.get_rng_state()
    game = run(method, tmp_path, 30)
    for _ in range(30):
        figures = game.train_step()
    assert torch.equal(position, torch.get_rng_state())  # all randomness is the clips' own
    assert all(torch.isfinite(torch.tensor(list(figures.values()))))
    for player in method.players:
        moved = [
            not torch.equal(a, b)
            for a, b in zip(start[player.name], player.module.parameters(), strict=True)
        ]
        assert sum(moved) > 0.9 * len(moved), player.name
    assert all(torch.equal(v, frozen[k]) for k, v in teacher.unet.state_dict().items())


@every_method
def test_student_and_teacher_are_two(make):
    student, teacher = small_models()
    student.unet = teacher.unet
    with pytest.raises(ValueError, match="student and teacher are one network"):
        make(student, teacher)


def level_of(method, player, batches=8):
    """A player's loss on fixed clips and noise."""
    noises = [ClipNoise(99, range(2 * i, 2 * i + 2)) for i in range(batches)]
    data = FewClips().batch(range(2))
    losses = [method.loss(player, data, noise) for noise in noises]
    parts = {k: sum(float(x.parts[k]) for x in losses) / batches for k in losses[0].parts}
    return sum(float(x.total) for x in losses) / batches, parts


@pytest.mark.parametrize("name", ["sfv-latents", "sfv-features", "ladd", "ufogen"])
def test_a_discriminator_learns_to_tell_its_generator_from_the_clips(name, tmp_path):
    method = METHODS[name](*small_models())
    before, _ = level_of(method, "discriminator")
    game = run(method, tmp_path, 60)
    game.players = {"discriminator": game.players["discriminator"]}  # the generator stands still
    for _ in range(60):
        game.train_step()
    after, parts = level_of(method, "discriminator")
    assert after < 0.8 * before, (before, after, parts)


def test_animatelcm_reduces_its_loss(tmp_path):
    method = METHODS["animatelcm"](*small_models())
    before, _ = level_of(method, "student")
    game = run(method, tmp_path, 40)
    for _ in range(40):
        game.train_step()
    assert level_of(method, "student")[0] < 0.8 * before


@pytest.mark.parametrize("name", ["sfv-latents", "ufogen"])
def test_generators_approach_the_clips(name, tmp_path):
    method = METHODS[name](*small_models())
    before = level_of(method, "generator")[1]["reconstruction"]
    game = run(method, tmp_path, 40)
    for _ in range(40):
        game.train_step()
    assert level_of(method, "generator")[1]["reconstruction"] < 0.9 * before
