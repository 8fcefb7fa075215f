"""The identities that tie v-prediction, preconditioning and SVD's loss weight together."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from mobilevd.models.preconditioning import c_in, denoised, v_target


@given(st.floats(0.002, 700.0), st.integers(0, 1000))
def test_the_target_denoises_exactly(sigma, seed):
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
    noise = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
    s = torch.full((2,), sigma, dtype=torch.float64)
    x = x0 + sigma * noise
    torch.testing.assert_close(denoised(x, v_target(x0, noise, s), s), x0, rtol=1e-7, atol=1e-7)
    # SVD weights the error of D by (1 + s^2) / s^2: that is the plain error of v.
    v = v_target(x0, noise, s) + 0.1
    error = (denoised(x, v, s) - x0).square() * (1 + sigma**2) / sigma**2
    torch.testing.assert_close(error, torch.full_like(error, 0.01), rtol=1e-4, atol=1e-6)


def test_input_has_unit_variance():
    x = torch.randn(1, 100_000) * (1 + 5.0**2) ** 0.5
    assert abs(c_in(torch.tensor([5.0]), x).std().item() - 1) < 0.02
