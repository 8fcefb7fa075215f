"""Distances between two sets of clips by their features, and how sure they are.

On features of I3D the Fréchet distance is FVD (arXiv 1812.01717); on those of the project's own
network (evaluate/features) it is the Fréchet digits distance, FDD.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussian:
    """``mean`` [D] and ``covariance`` [D, D] of features, float64."""

    mean: Array
    covariance: Array


def gaussian_of(features: np.ndarray) -> Gaussian:
    """Mean and unbiased covariance of features [N, D]; ValueError if they give none."""
    x = _checked(features)
    mean = x.mean(0)
    centred = x - mean
    return Gaussian(mean, centred.T @ centred / (len(x) - 1))


def _checked(features: np.ndarray) -> Array:
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"a distance needs features [N, D] of at least 2 clips, not {x.shape}")
    if not np.isfinite(x).all():
        broken = int((~np.isfinite(x)).any(1).sum())
        raise ValueError(f"{broken} of {len(x)} clips have features that are not finite")
    return x


def root(covariance: Array) -> Array:
    """The symmetric square root of a covariance, by its eigenvectors.

    Rounding makes eigenvalues slightly negative where there are fewer clips than features; they are
    zero. (scipy's ``sqrtm`` of a product of two covariances, as common code takes it, is unstable
    there.)
    """
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (B^1/2 A B^1/2)^1/2), the squared 2-Wasserstein distance
    of the two Gaussians (arXiv 1706.08500, eq. 6)."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features of {len(a.mean)} and of {len(b.mean)} numbers do not compare")
    r = root(b.covariance)
    cross = np.linalg.eigvalsh(r @ a.covariance @ r)
    shared = np.sqrt(cross.clip(min=0)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared
    return float(max(0.0, np.square(a.mean - b.mean).sum() + spread))


def polynomial_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """100 times the squared MMD of the kernel (x.y / D)^2, with each clip's own pairs: JEDi's
    estimator (arXiv 2410.05203) on our features.

    (x.y)^2 is the inner product of x x^T and y y^T, so no kernel matrix is needed: the distance is
    that of the second moments.
    """
    x, y = _checked(a), _checked(b)
    apart = x.T @ x / len(x) - y.T @ y / len(y)
    return float(100 * np.square(apart / x.shape[1]).sum())


def bootstrap_interval(
    generated: np.ndarray,
    real: np.ndarray,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the Fréchet distance over draws of both sets, at this number of clips.

    Both sets are drawn anew with replacement and the percentiles of the distances taken. Finite
    sets make the distance too large, and resampled ones do so once more; that second bias, the mean
    of the resamples less the distance itself, is taken off, the first is not. So the interval is of
    what N clips give, as every published FVD is; the distance of real from real clips (the floor)
    tells how much of it is bias.
    """
    x, y = _checked(generated), _checked(real)
    rng = np.random.Generator(np.random.Philox(seed))
    found = np.empty(resamples)
    for i in range(resamples):
        a, b = (gaussian_of(s[rng.integers(len(s), size=len(s))]) for s in (x, y))
        found[i] = frechet_distance(a, b)
    found += frechet_distance(gaussian_of(x), gaussian_of(y)) - found.mean()
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(max(0.0, low)), float(high)
