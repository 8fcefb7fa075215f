"""Every equation against numpy in float64; noise levels against their distribution."""

import numpy as np
import pytest
import torch
from mobilevd.training import losses
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.noise import discretized_log_normal, karras_grid

RNG = np.random.default_rng(0)
LOGITS = [2 * RNG.standard_normal((3, 5)), 2 * RNG.standard_normal((3, 2))]
A, B = RNG.standard_normal((2, 3, 4, 2))


def per_head(term):
    """Heads weigh the same, though the second has fewer places."""
    return np.mean([term(head).mean() for head in LOGITS])


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (losses.hinge_real, lambda d: np.maximum(0, 1 + d)),
        (losses.hinge_fake, lambda d: np.maximum(0, 1 - d)),
        (losses.hinge_generator, lambda d: d),
        (lambda d: losses.bce_real(d, 0.5), lambda d: np.log1p(np.exp(-np.minimum(d, 0.5)))),
        (lambda d: losses.bce_fake(d, -0.5), lambda d: np.log1p(np.exp(np.maximum(d, -0.5)))),
        (losses.bce_generator, lambda d: -np.log(1 / (1 + np.exp(-d)))),
    ],
)
def test_games(ours, reference):
    assert float(ours([torch.from_numpy(d) for d in LOGITS])) == pytest.approx(per_head(reference))


def test_real_is_negative():
    """SF-V's convention: a discriminator that is right says -1 to real and 1 to fake."""
    assert float(losses.hinge_real([torch.tensor([[-1.0]])])) == 0
    assert float(losses.hinge_fake([torch.tensor([[1.0]])])) == 0
    low, high = torch.tensor([[-1.0]]), torch.tensor([[1.0]])
    assert losses.hinge_generator([low]) < losses.hinge_generator([high])


def test_pseudo_huber_of_every_element():
    error = np.sqrt((A - B) ** 2 + 0.001**2) - 0.001
    a, b = torch.from_numpy(A), torch.from_numpy(B)
    assert float(losses.pseudo_huber(a, b, 0.001)) == pytest.approx(error.mean())
    weights = np.array([0.5, 2.0, 3.0])
    weighted = np.mean(weights * error.mean(axis=(1, 2)))
    got = losses.pseudo_huber(a, b, 0.001, torch.from_numpy(weights))
    assert float(got) == pytest.approx(weighted)


def test_pseudo_huber_of_a_clip():
    d, c = A[0].size, 0.3
    norm = np.sqrt(((A - B) ** 2).sum(axis=(1, 2)) + d * c**2) - np.sqrt(d) * c
    got = losses.clip_pseudo_huber(torch.from_numpy(A), torch.from_numpy(B), c)
    assert float(got) == pytest.approx(np.mean(norm))


def test_discretized_log_normal():
    grid = karras_grid(1000)
    weights = discretized_log_normal(grid, -1.0, 1.0)
    logs = grid.log()
    mean = float((weights * logs).sum())
    std = float((weights * (logs - mean) ** 2).sum().sqrt())
    assert mean == pytest.approx(-1.0, abs=0.02)
    assert std == pytest.approx(1.0, abs=0.02)
    drawn = grid[ClipNoise(0, range(4000)).choice(weights)].log()
    assert float(drawn.mean()) == pytest.approx(-1.0, abs=0.06)


def test_generator_levels_of_sfv():
    """Facts 4: 2.27, 70.5 and 700."""
    assert karras_grid(4).tolist() == pytest.approx([700, 70.5, 2.27, 0.002], rel=2e-3)
