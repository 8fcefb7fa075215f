"""The distances against closed forms, their invariances, and what their intervals cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mobilevd.evaluate.frechet import (
    Gaussian,
    bootstrap_interval,
    frechet_distance,
    gaussian_of,
    polynomial_mmd,
    root,
)

numbers = st.floats(-3, 3, allow_nan=False, width=32)


def vectors(size=4):
    return arrays(np.float64, size, elements=numbers)


def clouds(seed, count, dimension, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dimension, dimension))
    return rng.normal(size=(count, dimension)) @ mix * scale + shift


@settings(deadline=None)
@given(vectors(), vectors(), vectors(), vectors())
def test_diagonal_gaussians_in_closed_form(mean_a, mean_b, sd_a, sd_b):
    """Of commuting covariances the distance is |mean - mean|^2 + |sd - sd|^2, singular or not."""
    sd_a, sd_b = np.abs(sd_a), np.abs(sd_b)
    a, b = Gaussian(mean_a, np.diag(sd_a**2)), Gaussian(mean_b, np.diag(sd_b**2))
    want = np.square(mean_a - mean_b).sum() + np.square(sd_a - sd_b).sum()
    assert frechet_distance(a, b) == pytest.approx(want, rel=1e-6, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), vectors(5))
def test_invariances(seed, shift):
    a, b = clouds(seed, 40, 5), clouds(seed + 1, 60, 5, 0.5, 1.0)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))

    def distance(x, y):
        return frechet_distance(gaussian_of(x), gaussian_of(y))

    here = distance(a, b)
    assert here > 0
    assert distance(b, a) == pytest.approx(here, rel=1e-8)
    assert distance(a @ turn + shift, b @ turn + shift) == pytest.approx(here, rel=1e-8)
    assert distance(3 * a, 3 * b) == pytest.approx(9 * here, rel=1e-8)
    assert distance(a, a) == pytest.approx(0, abs=1e-7)
    # A shift moves the means alone.
    assert distance(a + shift, a) == pytest.approx(np.square(shift).sum(), rel=1e-6, abs=1e-6)


def test_equals_scipys_matrix_root():
    from scipy.linalg import sqrtm

    a, b = (gaussian_of(clouds(seed, 200, 16)) for seed in (1, 2))
    product = np.trace(sqrtm(a.covariance @ b.covariance).real)
    want = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance) - 2 * product
    assert frechet_distance(a, b) == pytest.approx(want, rel=1e-8)
    np.testing.assert_allclose(root(a.covariance) @ root(a.covariance), a.covariance, rtol=1e-8)


def test_fewer_clips_than_features():
    """The covariances have no full rank: still finite, zero for equal sets."""
    a, b = clouds(0, 10, 64), clouds(1, 10, 64)
    assert np.isfinite(frechet_distance(gaussian_of(a), gaussian_of(b)))
    assert frechet_distance(gaussian_of(a), gaussian_of(a)) == pytest.approx(0, abs=1e-5)


def test_covariance_is_unbiased():
    x = clouds(3, 7, 3)
    np.testing.assert_allclose(gaussian_of(x).covariance, np.cov(x, rowvar=False), rtol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(2, 9))
@settings(max_examples=25, deadline=None)
def test_mmd_equals_its_kernel_matrices(seed, n, m):
    """JEDi's code: means of the polynomial kernel of degree 2 over all pairs, times 100."""
    from sklearn.metrics.pairwise import polynomial_kernel

    a, b = clouds(seed, n, 3), clouds(seed + 1, m, 3)

    def mean(x, y):
        return polynomial_kernel(x, y, degree=2, coef0=0).mean()

    want = 100 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))
    assert polynomial_mmd(a, b) == pytest.approx(want, rel=1e-6, abs=1e-8)


def test_interval_covers_what_such_sets_give():
    """Of sets drawn anew, 95 % intervals hold the mean distance at this size nearly always; and
    they narrow with more clips."""
    dimension, count = 6, 150

    def pair(seed, n=count):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(n, dimension)), 1.2 * rng.normal(size=(n, dimension)) + 0.3

    distances = [frechet_distance(*(gaussian_of(s) for s in pair(1000 + s))) for s in range(400)]
    mean = float(np.mean(distances))
    intervals = [bootstrap_interval(*pair(seed), resamples=80) for seed in range(60)]
    covered = sum(low <= mean <= high for low, high in intervals)
    assert 51 <= covered <= 60  # 95 % of 60 is 57; 51 is three standard deviations below
    widths = np.array([high - low for low, high in intervals])
    # As wide as the distances themselves vary.
    low, high = np.quantile(distances, [0.025, 0.975])
    assert widths.mean() == pytest.approx(high - low, rel=0.35)
    more = bootstrap_interval(*pair(5, 8 * count), resamples=80)
    assert more[1] - more[0] < 0.6 * widths.mean()


def test_interval_is_reproducible_and_holds_its_distance():
    a, b = clouds(0, 100, 5), clouds(1, 100, 5)
    low, high = bootstrap_interval(a, b, 50)
    assert (low, high) == bootstrap_interval(a, b, 50)
    assert low < frechet_distance(gaussian_of(a), gaussian_of(b)) < high


def test_bad_features():
    good = clouds(0, 5, 3)
    with pytest.raises(ValueError, match="at least 2 clips"):
        gaussian_of(good[:1])
    broken = good.copy()
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 5 clips have features that are not finite"):
        polynomial_mmd(broken, good)
    with pytest.raises(ValueError, match="features of 3 and of 2 numbers"):
        frechet_distance(gaussian_of(good), gaussian_of(good[:, :2]))
