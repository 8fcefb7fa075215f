"""The C++ sampler against diffusers' and against numpy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from mobilevd import _runtime
from mobilevd.runtime import noise
from small_networks import SCHEDULER


def scheduler(steps: int):
    from diffusers import EulerDiscreteScheduler

    euler = EulerDiscreteScheduler(**SCHEDULER)
    euler.set_timesteps(steps)
    return euler


@pytest.mark.parametrize("steps", [1, 2, 3, 25])
def test_sigmas_equal_diffusers(steps):
    euler = scheduler(steps)
    sigmas = _runtime.sigmas(_runtime.SamplingSpec(steps=steps))
    np.testing.assert_allclose(sigmas, euler.sigmas.numpy(), rtol=1e-5)
    c_noise = [0.25 * np.log(s) for s in sigmas[:-1]]
    np.testing.assert_allclose(c_noise, euler.timesteps.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("t", "channels"), [(-1.55, 32), (0.25 * np.log(700.0), 320), (127, 256)])
def test_sinusoid_equals_diffusers(t, channels):
    from diffusers.models.embeddings import get_timestep_embedding

    theirs = get_timestep_embedding(
        torch.tensor([t], dtype=torch.float64),
        channels,
        flip_sin_to_cos=True,
        downscale_freq_shift=0,
    )[0]
    # diffusers computes the angles in float32: 1e-6 of the largest one.
    np.testing.assert_allclose(
        _runtime.sinusoid(t, channels), theirs.numpy(), atol=1e-6 * max(1.0, abs(t))
    )


def model(x: np.ndarray, t: float, condition: float) -> np.ndarray:
    """Some smooth v-prediction that depends on everything."""
    return np.tanh(x.astype(np.float64) * (1 + condition) + 0.1 * t).astype(np.float32)


GUIDANCE = pytest.mark.parametrize("guidance", [(1.0, 1.0), (1.0, 3.0)])


def ours(start: np.ndarray, steps: int, guidance: tuple[float, float]) -> np.ndarray:
    low, high = guidance
    spec = _runtime.SamplingSpec(steps=steps, guidance_min=low, guidance_max=high)
    return _runtime.sample(
        spec, start, lambda scaled, s, cond: model(scaled, 0.25 * np.log(s), float(cond))
    )


def guided(scaled: np.ndarray, t: float, guidance: tuple[float, float]) -> np.ndarray:
    low, high = guidance
    v = model(scaled, t, 1.0).astype(np.float64)
    if high > 1:
        v_uncond = model(scaled, t, 0.0)
        v = v_uncond + np.linspace(low, high, len(v))[:, None] * (v - v_uncond)
    return v


@GUIDANCE
@pytest.mark.parametrize("steps", [10, 25])
def test_euler_equals_diffusers(steps, guidance):
    start = noise(3, 0, (4, 96))
    euler = scheduler(steps)
    x = torch.from_numpy(start.copy()) * euler.init_noise_sigma
    for t in euler.timesteps:
        scaled = euler.scale_model_input(x, t).numpy()
        v = torch.from_numpy(guided(scaled, float(t), guidance).astype(np.float32))
        x = euler.step(v, t, x).prev_sample
    np.testing.assert_allclose(ours(start, steps, guidance), x.numpy(), rtol=1e-5, atol=1e-5)


@GUIDANCE
@pytest.mark.parametrize("steps", [1, 2, 25])
def test_euler_equals_float64(steps, guidance):
    """Few steps too, where diffusers' own float32 loses four digits between 700 and 0."""
    start = noise(3, 0, (4, 96))
    sigmas = _runtime.sigmas(_runtime.SamplingSpec(steps=steps))
    x = start.astype(np.float64) * np.sqrt(sigmas[0] ** 2 + 1)
    for s, following in pairwise(sigmas):
        scaled = (x / np.sqrt(s**2 + 1)).astype(np.float32)
        v = guided(scaled, 0.25 * np.log(s), guidance)
        denoised = x / (s**2 + 1) - s / np.sqrt(s**2 + 1) * v
        x = x + (x - denoised) / s * (following - s)
    np.testing.assert_allclose(ours(start, steps, guidance), x, rtol=1e-5, atol=1e-5)


def test_consistency_equals_numpy():
    start = noise(3, 0, (2, 5))
    spec = _runtime.SamplingSpec(sampler="consistency", steps=4, levels=40)
    sigmas = _runtime.sigmas(spec)
    x = start.astype(np.float64) * np.sqrt(sigmas[0] ** 2 + 1)
    for i, s in enumerate(sigmas[:-1]):
        v = model((x / np.sqrt(s**2 + 1)).astype(np.float32), 0.25 * np.log(s), 1.0)
        denoised = x / (s**2 + 1) - s / np.sqrt(s**2 + 1) * v
        x = denoised + sigmas[i + 1] * noise(3, 2 + i, (2, 5))
    result = _runtime.sample(
        spec,
        start,
        lambda scaled, s, cond: model(scaled, 0.25 * np.log(s), float(cond)),
        lambda step: noise(3, 2 + step, (2, 5)),
    )
    # From step to step errors grow with the noise level; the last step ends near 1.
    np.testing.assert_allclose(result, x, atol=1e-4)


def test_an_exception_in_the_network_is_passed_on():
    def broken(scaled, sigma, conditional):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        _runtime.sample(_runtime.SamplingSpec(), noise(0, 0, (1, 1)), broken)


def test_noise_is_shared_with_cpp_and_stable():
    values = noise(7, 0, (2, 3))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.ravel(), _runtime.noise(7, 0, 6))
    assert abs(float(noise(7, 0, (1 << 16,)).mean())) < 0.02
    # Frozen: a change here changes every clip that anybody made with a seed.
    np.testing.assert_allclose(
        _runtime.noise(1, 0, 6),
        [0.38040075, -0.29627788, -0.24923342, -1.0038372, 0.6269479, -0.6339838],
        rtol=1e-6,
    )
