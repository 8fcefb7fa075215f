"""What all methods owe the loop, played by the loop itself on a small model."""

import math
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.loop import Run
from mobilevd.training.method import networks_of
from mobilevd.training.methods.animatelcm import ANIMATELCM_CONSTANTS, AnimateLcm
from mobilevd.training.methods.ladd import LADD_CONSTANTS, Ladd
from mobilevd.training.methods.sfv import R1_FORMS, SFV_CONSTANTS, Sfv
from mobilevd.training.methods.ufogen import UFOGEN_CONSTANTS, UfoGen
from mobilevd.training.settings import Settings
from small_models import SHALLOW, batch_of, small_models

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


@pytest.fixture(autouse=True)
def one_thread():
    """So small a network gains nothing from more, and loses much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@every_method
def test_a_run_moves_all_networks_to_its_device(tmp_path, monkeypatch, make):
    """No GPU here: meta stands for one. What stands still is needed there as well."""
    monkeypatch.setattr(Accelerator, "device", property(lambda self: torch.device("meta")))
    method = make(*small_models(preset=SHALLOW))
    Run(tmp_path, method, FewClips(), Settings(steps=1, batch_size=2, learning_rate=1e-3))
    found = list(networks_of(method))
    assert any(network is method.model.vae for network in found)
    assert all(t.is_meta for n in found for t in (*n.parameters(), *n.buffers()))


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
    method = make(*small_models(preset=SHALLOW))
    torch.manual_seed(0)
    for salt, player in enumerate(method.players):
        for p in player.module.parameters():  # UFOGen's discriminator starts at zero
            p.data.add_(0.01 * torch.randn_like(p))
        whole = method.loss(player.name, batch_of(4), ClipNoise(0, range(4), salt))
        halves = [
            method.loss(player.name, batch_of(2, i), ClipNoise(0, range(i, i + 2), salt))
            for i in (0, 2)
        ]
        mean = sum(h.total.item() for h in halves) / 2
        assert whole.total.item() == pytest.approx(mean, rel=1e-4, abs=1e-5)
        for key, value in whole.parts.items():
            mean = sum(h.parts[key].item() for h in halves) / 2
            # R1 is a squared derivative, in float32 through a random network.
            rel = 5e-3 if key == "r1" else 1e-4
            assert value.item() == pytest.approx(mean, rel=rel, abs=1e-5)


@every_method
def test_student_and_teacher_are_two(make):
    student, teacher = small_models(preset=SHALLOW)
    student.unet = teacher.unet
    with pytest.raises(ValueError, match="student and teacher are one network"):
        make(student, teacher)


def level_of(method, player, batches=4):
    """A player's loss on fixed clips and noise."""
    noises = [ClipNoise(99, range(2 * i, 2 * i + 2)) for i in range(batches)]
    with torch.no_grad():
        losses = [method.loss(player, FewClips().batch(range(2)), noise) for noise in noises]
    parts = {k: sum(float(x.parts[k]) for x in losses) / batches for k in losses[0].parts}
    return sum(float(x.total) for x in losses) / batches, parts


# What thirty steps can learn: the term of the loss, and constants that let it be learned.
LEARNED = {
    "animatelcm": ("student", None, {"target_decay": 1.0, "learning_rate": 1e-3}),
    "ufogen": ("generator", "reconstruction", FAST),
    "sfv": ("generator", "reconstruction", {**FAST, "r1_form": "features"}),
}
CLASSES = {
    "animatelcm": (AnimateLcm, ANIMATELCM_CONSTANTS),
    "ladd": (Ladd, LADD_CONSTANTS),
    "sfv": (Sfv, SFV_CONSTANTS),
    "ufogen": (UfoGen, UFOGEN_CONSTANTS),
}


@pytest.mark.parametrize("name", LEARNED)
def test_thirty_steps_learn_and_move_only_the_players(name, tmp_path):
    player, part, constants = LEARNED[name]
    student, teacher = small_models(preset=SHALLOW)
    cls, published = CLASSES[name]
    method = cls(student, teacher, replace(published, **constants))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for p in student.unet.parameters():  # away from the teacher, where it has to learn
            p.data.add_(0.05 * torch.randn_like(p))
    frozen = {k: v.clone() for k, v in teacher.unet.state_dict().items()}
    start = {p.name: [v.detach().clone() for v in p.module.parameters()] for p in method.players}

    def level():
        total, parts = level_of(method, player)
        return parts[part] if part else total

    before, position = level(), torch.get_rng_state()
    game = run(method, tmp_path, 30)
    for _ in range(30):
        game.train_step()
    assert torch.equal(position, torch.get_rng_state())  # all randomness is the clips' own
    assert level() < 0.9 * before
    for each in method.players:
        pairs = zip(start[each.name], each.module.parameters(), strict=True)
        moved = [not torch.equal(a, b) for a, b in pairs]
        assert sum(moved) > 0.9 * len(moved), each.name
    assert all(torch.equal(v, frozen[k]) for k, v in teacher.unet.state_dict().items())


# Noise levels at which random clips can be told apart at all.
TOLD_APART = {
    "sfv": {"r1_form": "latents"},
    "ladd": {"p_mean": -1.0},
    "ufogen": {"times": (300,), "jump": 250, "discriminator_every": 1},
}


@pytest.mark.parametrize("name", TOLD_APART)
def test_a_discriminator_tells_its_generator_from_the_clips(name, tmp_path):
    """The generator stands still; the loss of being undecided is 2 (hinge) or 2 ln 2."""
    cls, published = CLASSES[name]
    method = cls(
        *small_models(preset=SHALLOW),
        replace(published, discriminator_rate=3e-3, **TOLD_APART[name]),
    )
    method.players = method.players[:1]
    method.result = "discriminator"
    game = run(method, tmp_path, 30)
    figures = [game.train_step() for _ in range(30)]
    undecided = 2 * math.log(2) if name == "ufogen" else 2.0
    last = figures[-5:]
    apart = sum(f["discriminator_real"] + f["discriminator_fake"] for f in last) / len(last)
    assert apart < 0.85 * undecided


def test_ladds_generator_moves_towards_what_its_judge_calls_real(tmp_path):
    """Against a judge that stands still, E D(fake) falls."""
    method = Ladd(
        *small_models(preset=SHALLOW),
        replace(LADD_CONSTANTS, generator_rate=1e-3, generator_every=1),
    )
    before, _ = level_of(method, "generator")
    method.players = method.players[1:]
    game = run(method, tmp_path, 40)
    for _ in range(40):
        game.train_step()
    assert level_of(method, "generator")[0] < before - 0.1
