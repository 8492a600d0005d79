"""Removing hidden units by the variance of their synapses.

The paper sets the rows of units whose weights vary too much to zero: units that did not converge, it argues, stand out
by a second mode in the distribution of log variances. Symbols: synapses W (H, D), one row per unit.

What variance can a converged unit have, with D weights w and norm ||w||_p = R? For p >= 2, by the inequality of power
means, at most ``s = (R^p / D)^(2/p) = R^2 D^(-2/p)``, the square of a weight if all were alike; reached by equal
weights of alternating sign. In units of s, Gaussian noise has ``(E|z|^p)^(-2/p)``, 0.73 for p = 3; and non-negative
weights, pictures in other words, at most ``q^(1 - 2/p) (1 - q)`` with ``q = (p - 2) / (2p - 2)``, 0.47, reached
by weights that are c in a share q of the pixels and 0 elsewhere (with mean and p-th moment fixed, no more than these
two values maximise the second moment). So for p > 2 pictures lie below noise, whatever they show and however many
pixels they have, and the geometric mean of the two, 0.59 s for p = 3, separates them: see :func:`threshold`.

The published number is 0.32 s. It suits CIFAR-10, whose unit-norm images have 0.15 s on average; digits on an empty
ground have 0.43 s, close to what a picture can have at most, and so all units of a healthy layer lie above it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import chi2, norm
from sklearn.mixture import GaussianMixture

Tensor = torch.Tensor
PUBLISHED_THRESHOLD = 0.0015  # authors' code for the ICLR submission, for units of L3 norm 1 on CIFAR-10,
PUBLISHED_INPUTS = 3072  # that is, for 32 x 32 x 3 inputs
PUBLISHED_RANGE = (-9.0, -3.0)  # the authors' code at e1b82cd: log variances outside are not looked at,
PUBLISHED_MEANS = (-7.1, -8.5, -6.5, -6.0)  # where its components start, in this order,
PUBLISHED_LEVEL = 0.01  # and the level of its test for one component more
FEWEST = 20  # units; a mixture of two has five parameters
DEPTH = 0.5  # a mode is separate if the density falls below this share of its height before it


def variances(w: Tensor) -> Tensor:
    """Variance of each unit's synapses, (H,), with divisor D - 1."""
    return w.var(1)


def largest_variance(inputs: int, p: float = 3.0, radius: float = 1.0) -> float:
    """Largest variance, s, of D weights of L^p norm R = ``radius``, p >= 2; see the module."""
    return float(radius**2 * inputs ** (-2 / p))


def noise_share(p: float = 3.0) -> float:
    """Variance of white noise of given L^p norm, in units of :func:`largest_variance`; 0.73 for p = 3."""
    moment = 2 ** (p / 2) * math.gamma((p + 1) / 2) / math.pi**0.5  # of a standard normal, E|z|^p
    return float(moment ** (-2 / p))


def picture_share(p: float = 3.0) -> float:
    """Largest variance of non-negative weights, in units of :func:`largest_variance`; 0.47 for p = 3."""
    bright = (p - 2) / (2 * p - 2)  # share of the pixels
    return float(bright ** (1 - 2 / p) * (1 - bright))


def threshold(inputs: int, p: float = 3.0, radius: float = 1.0) -> float:
    """Variance between any picture and white noise: the geometric mean of what they can have, for D inputs and norm R.

    For images of any size and kind. On CIFAR-10 it is 1.9 times ``PUBLISHED_THRESHOLD``, which the study uses there.
    Raises ``ValueError`` for p <= 2, where a picture can vary as much as noise and variance tells nothing.
    """
    if not p > 2:
        raise ValueError(
            f"p = {p}: for p <= 2 variance does not tell pictures from noise; keep all units (model kh-unpruned)"
        )
    return largest_variance(inputs, p, radius) * math.sqrt(noise_share(p) * picture_share(p))


def above_threshold(w: Tensor, threshold: float) -> Tensor:
    """Which units of W (H, D) a fixed threshold prunes, (H,) bool: those of larger variance.

    Raises ``ValueError`` if the threshold is not positive or would prune every unit: such a layer has learned nothing
    yet, or the threshold is made for other images.
    """
    if not threshold > 0:
        raise ValueError(f"threshold = {threshold}; give a variance > 0 (the paper: {PUBLISHED_THRESHOLD})")
    if not bool(w.isfinite().all()):
        raise ValueError("w: some synapses are NaN or infinite; train the layer again")
    pruned = variances(w) > threshold
    if pruned.all():
        smallest = float(variances(w).min())
        raise ValueError(
            f"threshold = {threshold:.3g} prunes all {len(w)} units, their variances start at {smallest:.3g}; train "
            "the layer for more epochs, until it converges, or keep all units (model kh-unpruned)"
        )
    return pruned


def prune(w: Tensor, pruned: Tensor) -> Tensor:
    """A copy of W (H, D) with the rows of pruned units, (H,) bool, set to zero; the layer keeps its size, as there."""
    return w.masked_fill(pruned[:, None], 0.0)


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture of log variances, components by rising mean, and the variance above which units are pruned.

    means, deviations, weights: (order,), of ln variance; cutoff: a variance, or None if nothing is to be pruned;
    scores: what decided, one value per order tried, from 1 (log likelihood as coded, BIC as corrected).
    """

    means: np.ndarray
    deviations: np.ndarray
    weights: np.ndarray
    cutoff: float | None
    scores: np.ndarray

    @property
    def order(self) -> int:
        """Number of components."""
        return len(self.means)

    def density(self, log_variance: np.ndarray) -> np.ndarray:
        """Density of each weighted component at some log variances, (order, ...)."""
        shape = (-1,) + (1,) * np.ndim(log_variance)
        parts = (np.reshape(values, shape) for values in (self.weights, self.means, self.deviations))
        weight, mean, deviation = parts
        density: np.ndarray = weight * norm.pdf(log_variance, mean, deviation)
        return density

    def prunes(self, variance: Tensor) -> Tensor:
        """Which units are pruned, (H,) bool, given their variances."""
        if self.cutoff is None:
            return torch.zeros(len(variance), dtype=torch.bool)
        return variance >= self.cutoff


def published_mixture(variance: Tensor) -> Mixture:
    """The mixture and cutoff of the authors' code (``StatisticGardener`` at e1b82cd), slips included.

    Components are added while a likelihood-ratio test calls the larger mixture better, up to four. The test compares
    with chi^2 of 3 degrees of freedom, which is not the distribution of this ratio. The count is raised before the
    test and the mixture that the test *rejects* is kept, so a layer is never found to be unimodal. Starting means and
    the range are constants that fit 3072 inputs of unit L3 norm. The cutoff lies halfway between the two largest means
    (in logarithms). variance (H,). Raises ``ValueError`` if too few units lie within the range.
    """
    low, high = PUBLISHED_RANGE
    data = np.log(_positive(variance))
    data = data[(data > low) & (data < high)][:, None]
    if len(data) < FEWEST:
        raise ValueError(
            f"variance has {len(data)} values between e^{low:g} and e^{high:g}, where the published mixture looks; "
            f"it needs {FEWEST}: use the corrected one"
        )
    scores = [float(norm.logpdf(data, data.mean(), data.std() or np.finfo(float).tiny).sum())]
    order, better = 1, True
    while better and order < len(PUBLISHED_MEANS):
        order += 1
        start = np.reshape(PUBLISHED_MEANS[:order], (-1, 1))
        fitted = GaussianMixture(order, means_init=start, max_iter=2000, random_state=0).fit(data)
        scores.append(float(fitted.score(data)) * len(data))
        better = chi2.sf(2 * (scores[-1] - scores[-2]), 3) < PUBLISHED_LEVEL
    means, deviations, weights = _components(fitted)
    cutoff = math.exp(means[-1] - abs(means[-1] - means[-2]) / 2)
    return Mixture(means, deviations, weights, cutoff, np.array(scores))


def mixture(variance: Tensor, most: int = 5, seed: int = 0) -> Mixture:
    """A mixture of log variances, its order chosen by the Bayesian information criterion, and a cutoff if need be.

    Orders 1 to ``most``, each from several random starts. There is a cutoff only if the fitted density has a second
    mode above its heaviest component, behind a valley less than half as high; the cutoff is the valley's lowest point.
    A skewed but unimodal layer, which a mixture of two fits well, is left alone. variance (H,); units of zero variance
    have been pruned before and do not count. Raises ``ValueError`` for fewer than 20 others, or ``most`` below 1.
    """
    if most < 1:
        raise ValueError(f"most = {most}; give the largest order to try, at least 1")
    data = np.log(_positive(variance))[:, None]
    if len(data) < FEWEST:
        raise ValueError(f"variance has {len(data)} positive values; a mixture needs at least {FEWEST} units")
    if np.ptp(data) < 1e-6:  # all alike: one component, of no width
        return Mixture(data.mean(0), np.zeros(1), np.ones(1), None, np.zeros(1))
    fits = [_fit(data, order, seed) for order in range(1, most + 1)]
    scores = np.array([fitted.bic(data) for fitted in fits])
    means, deviations, weights = _components(fits[int(scores.argmin())])
    found = Mixture(means, deviations, weights, None, scores)
    return Mixture(means, deviations, weights, _valley(found), scores)


def bootstrap_order(variance: Tensor, replicates: int = 99, seed: int = 0) -> float:
    """p-value of "one component" against "two" by a parametric bootstrap of the likelihood ratio (McLachlan 1987).

    The reference is drawn, not looked up: samples of the fitted single Gaussian, each fitted with one and two. The
    smallest possible value is 1 / (replicates + 1). Raises ``ValueError`` for fewer than 20 units with a variance, for
    variances that are all alike, which no mixture fits, or ``replicates`` below 1.
    """
    if replicates < 1:
        raise ValueError(f"replicates = {replicates}; give at least 1")
    data = np.log(_positive(variance))[:, None]
    if len(data) < FEWEST:
        raise ValueError(f"variance has {len(data)} positive values; a mixture needs at least {FEWEST} units")
    if np.ptp(data) < 1e-6:
        raise ValueError("variance is the same for all units; there is no order to find")
    rng = np.random.default_rng(seed)
    ratio: Callable[[np.ndarray], float] = lambda z: _fit(z, 2, seed).score(z) - _fit(z, 1, seed).score(z)  # noqa: E731
    observed = ratio(data)
    drawn = (ratio(rng.normal(data.mean(), data.std(), data.shape)) for _ in range(replicates))
    return (1 + sum(value >= observed for value in drawn)) / (replicates + 1)


def _fit(data: np.ndarray, order: int, seed: int) -> GaussianMixture:
    # A floor for the widths, far below the spread: components must not shrink onto single units.
    floor = 1e-4 * float(data.var())
    starts = {"n_init": 4, "init_params": "k-means++", "max_iter": 2000, "tol": 1e-5}
    return GaussianMixture(order, random_state=seed, reg_covar=floor, **starts).fit(data)


def _components(fitted: GaussianMixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rising = fitted.means_[:, 0].argsort()
    return fitted.means_[rising, 0], np.sqrt(fitted.covariances_[rising, 0, 0]), fitted.weights_[rising]


def _valley(found: Mixture) -> float | None:
    """Variance at the first deep minimum of the density above the heaviest component; None if there is none."""
    grid = np.linspace(found.means[found.weights.argmax()], found.means[-1], 2001)
    density = found.density(grid).sum(0)
    for low in np.flatnonzero((density[1:-1] < density[:-2]) & (density[1:-1] <= density[2:])) + 1:
        if density[low] < DEPTH * min(density[:low].max(), density[low:].max()):
            return float(np.exp(grid[low]))
    return None


def _positive(variance: Tensor) -> np.ndarray:
    values = variance.detach().double().numpy(force=True)
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"variance has shape {values.shape}, or negative or non-finite values; give one >= 0 per unit")
    return values[values > 0]
