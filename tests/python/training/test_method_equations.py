"""Each method against its paper's equations, written down once more in float64."""

import math
from dataclasses import replace

import pytest
import torch
from mobilevd.models.preconditioning import c_in, c_noise
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.conditioning import Conditioning, predict_v, predict_x0
from mobilevd.training.methods.animatelcm import AnimateLcm
from mobilevd.training.methods.ladd import LADD_CONSTANTS, Ladd
from mobilevd.training.methods.sfv import SFV_CONSTANTS, Sfv
from mobilevd.training.methods.ufogen import UfoGen, schedule_sigmas
from mobilevd.training.noise import karras_grid
from small_models import SHALLOW, batch_of, small_models


def conditioning(model, count=2):
    noise = ClipNoise(0, range(count))
    with torch.no_grad():
        return Conditioning(model, batch_of(count), noise), noise


def test_animatelcm_is_its_own_prediction_without_noise():
    method = AnimateLcm(*small_models(preset=SHALLOW))
    c, noise = conditioning(method.model)
    zero = torch.zeros(2)
    assert torch.equal(method.consistent(c.x0, zero, c), c.x0)
    lowest = torch.full((2,), 0.002)
    x, _ = c.noised(lowest, noise)
    assert torch.allclose(method.consistent(x, lowest, c), x, atol=0.02)


def test_animatelcm_loss():
    """One clip, every draw repeated: two teacher branches, one Euler step, the slow copy."""
    student, teacher = small_models(preset=SHALLOW)
    method = AnimateLcm(student, teacher)
    with torch.no_grad():
        for p in student.unet.parameters():
            p.mul_(1.01)  # student and target differ
    got = method.loss("student", batch_of(1), ClipNoise(3, [0])).total.item()

    noise = ClipNoise(3, [0])
    with torch.no_grad():
        c = Conditioning(student, batch_of(1), noise)
        i = int(noise.choice(torch.ones(40)))
        grid = [*karras_grid(40).tolist(), 0.0]
        s, t = grid[i], grid[i + 1]
        x, _ = c.noised(torch.tensor([s]), noise)
        start = (1.0, 1.25, 1.5)[int(noise.choice(torch.ones(3)))]
        end = (2.0, 2.25, 2.5)[int(noise.choice(torch.ones(3)))]
        empty, _ = conditioning(student, 1)
        empty.image_latents, empty.token = 0 * c.image_latents, 0 * c.token
        empty.added_time_ids = c.added_time_ids
        level = torch.tensor([s])
        v_c, v_u = (predict_v(teacher.unet, x, level, k).double() for k in (c, empty))
        g = torch.tensor([start + (end - start) * f / 3 for f in range(4)]).view(1, 4, 1, 1, 1)
        v = v_u + g * (v_c - v_u)
        clean = x / (s**2 + 1) - s / math.sqrt(s**2 + 1) * v
        there = x + (t - s) * (x - clean) / s
        target = predict_x0(method.target, there.float(), torch.tensor([t]), c)
        error = predict_x0(student.unet, x, level, c).double() - target
    want = (s - t) ** -0.1 * ((error**2 + 1e-6).sqrt() - 1e-3).mean()
    assert got == pytest.approx(want.item(), rel=1e-3)


def test_animatelcm_target_follows():
    student, teacher = small_models(preset=SHALLOW)
    method = AnimateLcm(student, teacher)
    old = method.target.conv_in.weight.clone()
    with torch.no_grad():
        student.unet.conv_in.weight.add_(1.0)
    method.after_step(0)
    assert torch.allclose(method.target.conv_in.weight, old + 0.05, atol=1e-6)
    assert method.buffers() == {"target": method.target}


def test_sfv_losses():
    """The hinge game at equal sigma' and noise, R1 by autograd, and the pseudo-Huber term."""
    student, teacher = small_models(preset=SHALLOW)
    method = Sfv(student, teacher)
    d, k = method.discriminator, SFV_CONSTANTS
    got_d = method.loss("discriminator", batch_of(1), ClipNoise(5, [0], 0))
    got_g = method.loss("generator", batch_of(1), ClipNoise(5, [0], 1))

    def generated(noise):
        with torch.no_grad():
            c = Conditioning(student, batch_of(1), noise)
            sigma = karras_grid(4)[noise.choice(torch.ones(3))].float()
            n = noise.normal(*c.x0.shape[1:])
            x = c.x0 + sigma * n
            picture = c.image_latents[:, None].expand(-1, 4, -1, -1, -1)
            sample = torch.cat([c_in(sigma, x), picture], dim=2)
            v = student.unet(sample, c_noise(sigma), c.token, c.added_time_ids)
            clean = x / (sigma**2 + 1) - v * sigma / (sigma**2 + 1).sqrt()
            later = karras_grid(1000)[noise.choice(method.discriminator_weights)].float()
            return c, clean, later, later * noise.normal(*c.x0.shape[1:])

    def mean_of(logits, term):
        return sum(term(x.double()).mean().item() for x in logits) / len(logits)

    c, fake, sigma, n = generated(ClipNoise(5, [0], 0))
    real_logits, fake_logits = d(c.x0 + n, sigma, c), d(fake + n, sigma, c)
    assert got_d.parts["real"].item() == pytest.approx(
        mean_of(real_logits, lambda x: (1 + x).clamp(min=0)), rel=1e-4
    )
    assert got_d.parts["fake"].item() == pytest.approx(
        mean_of(fake_logits, lambda x: (1 - x).clamp(min=0)), rel=1e-4
    )
    total = got_d.parts["real"] + got_d.parts["fake"] + k.r1 * got_d.parts["r1"]
    assert got_d.total.item() == pytest.approx(total.item())
    assert got_d.parts["r1"].item() > 0

    c, fake, sigma, n = generated(ClipNoise(5, [0], 1))
    adversarial = mean_of(d(fake + n, sigma, c), lambda x: x)
    constant = 0.00054 * fake.numel() ** 0.5
    norm = (fake - c.x0).double().norm()
    reconstruction = (norm**2 + constant**2).sqrt() - constant
    assert got_g.parts["adversarial"].item() == pytest.approx(adversarial, rel=1e-3, abs=1e-6)
    assert got_g.parts["reconstruction"].item() == pytest.approx(float(reconstruction), rel=1e-4)
    want = adversarial + 0.1 * float(reconstruction)
    assert got_g.total.item() == pytest.approx(want, rel=1e-4)


def test_generator_gets_its_gradient_through_the_frozen_encoder():
    """Without the reconstruction term only the encoder connects the loss with the UNet."""
    method = Sfv(*small_models(preset=SHALLOW), replace(SFV_CONSTANTS, reconstruction=0.0))
    loss = method.loss("generator", batch_of(1), ClipNoise(0, [0]))
    assert set(loss.parts) == {"adversarial"}
    loss.total.backward()
    assert float(method.model.unet.conv_in.weight.grad.abs().max()) > 0


def test_ablation_without_temporal_heads():
    method = Sfv(*small_models(preset=SHALLOW), with_temporal_heads=False)
    names = {n.split(".")[0] for n, _ in method.players[0].module.named_parameters()}
    assert names == {"condition", "frame", "spatial"}
    method.loss("discriminator", batch_of(1), ClipNoise(0, [0])).total.backward()


def test_unknown_r1_is_refused():
    with pytest.raises(ValueError, match=r"unknown R1 'exact'; known: latents, features"):
        replace(SFV_CONSTANTS, r1_form="exact")


def test_ladd_levels():
    """Flow's t = .75, .5, .25 are sigma 3, 1, 1/3; the easy ones alone while warming up."""
    method = Ladd(*small_models(preset=SHALLOW))
    noise = ClipNoise(0, range(3000))
    method.before_step(0, torch.Generator())
    drawn = method.generator_sigma(noise)
    assert sorted(set(drawn.tolist())) == pytest.approx([1 / 3, 1])
    method.before_step(LADD_CONSTANTS.warm_up, torch.Generator())
    drawn = method.generator_sigma(noise)
    for sigma, share in ((700.0, 0.7), (3.0, 0.1), (1.0, 0.1), (1 / 3, 0.1)):
        part = ((drawn - sigma).abs() < 1e-4).float().mean()
        assert float(part) == pytest.approx(share, abs=0.03)
    sigma = method.discriminator_sigma(noise)
    logit_t = (sigma / (1 + sigma)).logit()
    assert float(logit_t.mean()) == pytest.approx(1.0, abs=0.06)
    assert float(logit_t.std()) == pytest.approx(1.0, abs=0.06)
    loss = method.loss("generator", batch_of(1), ClipNoise(0, [0]))
    assert set(loss.parts) == {"adversarial"}


def test_ufogen_starts_undecided():
    method = UfoGen(*small_models(preset=SHALLOW))
    d = method.loss("discriminator", batch_of(2), ClipNoise(0, range(2)))
    assert d.total.item() == pytest.approx(2 * math.log(2), rel=1e-5)
    g = method.loss("generator", batch_of(2), ClipNoise(0, range(2)))
    assert g.parts["adversarial"].item() == pytest.approx(math.log(2), rel=1e-5)


def test_ufogen_denoises_as_svd_does():
    """Its reconstruction is SVD's weighted error (1 + s^2) / s^2 |x^ - x0|^2 at its own times."""
    method = UfoGen(*small_models(preset=SHALLOW))
    noise = ClipNoise(0, [0], 1)
    with torch.no_grad():
        c = Conditioning(method.model, batch_of(1), noise)
        sigma = schedule_sigmas().float()[noise.choice(torch.ones(1000))]
        x, _ = c.noised(sigma, noise)
        error = predict_x0(method.model.unet, x, sigma, c) - c.x0
    want = ((1 + sigma**2) / sigma**2 * error.double().square().mean()).item()
    got = method.loss("generator", batch_of(1), ClipNoise(0, [0], 1)).parts["reconstruction"]
    assert got.item() == pytest.approx(want, rel=1e-3)


def test_ufogen_schedule():
    """SD's: sigma 0.029 to 14.6; ours ends in pure noise."""
    sigmas = schedule_sigmas()
    assert sigmas[0].item() == pytest.approx(0.0292, rel=1e-2)
    assert sigmas[-2].item() == pytest.approx(14.6, rel=1e-2)
    assert sigmas[-1].item() == 700
    assert (sigmas.diff() > 0).all()
