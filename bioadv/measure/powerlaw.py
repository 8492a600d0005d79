"""Power laws lambda_n ~ n^-alpha in eigenspectra: fits over a window of ranks, and what they hide.

Ranks count from 1 and windows include both ends: the paper fits ranks 11 to 500 for images and 11 to 100 for noise
(authors' code, ``Statistics.py``). alpha is positive for a falling spectrum. Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
IMAGES = (11, 500)  # the paper's windows
NOISE = (11, 100)


@dataclass(frozen=True)
class Fit:
    """ln lambda_n = log_scale - alpha ln n, fitted over the ranks first..last.

    error: standard error of alpha by ordinary least squares. It takes residuals for independent, which those of a
    sorted spectrum never are, so it is far too small. r_squared: share of the variance of ln lambda_n explained.
    """

    alpha: float
    log_scale: float
    error: float
    r_squared: float
    first: int
    last: int

    def line(self, n: ArrayLike) -> Array:
        """The fitted lambda at ranks n."""
        return np.exp(self.log_scale - self.alpha * np.log(np.asarray(n, dtype=float)))


def fit(
    spectrum: ArrayLike,
    window: tuple[int, int] = IMAGES,
    weighted: bool = False,
    truncate: bool = False,
    ordered: bool = True,
) -> Fit:
    """Least squares of ln lambda_n on ln n over a window of ranks (first, last).

    spectrum: eigenvalues, falling. weighted: weights 1/n, which give every octave of ranks the same say (Stringer et
    al. 2019); the paper weighs all ranks alike, so that half of its window's weight lies beyond rank 255. truncate:
    end the window before the spectrum does, or before the first eigenvalue that is not positive; the result's ``last``
    says where. ordered: False for estimates along given directions, such as cross-validated variances, which need not
    fall. Raises ``ValueError`` for a spectrum that is complex, not finite, zero throughout or not falling, and for a
    window that does not fit it or holds eigenvalues that are not positive.

    >>> spectrum = 5 * np.arange(1, 1001) ** -1.5
    >>> print(round(fit(spectrum).alpha, 3))
    1.5
    """
    values, (first, last) = _checked(spectrum, ordered), window
    if truncate:
        last = min(last, positive(values))
    if not first >= 1 or last - first < 2:
        raise ValueError(f"window = {window} ends at rank {last} here; give (first, last) with at least three ranks")
    if last > len(values):
        raise ValueError(
            f"window = {window}, but the spectrum has {len(values)} eigenvalues; take more images or units, a shorter "
            "window, or truncate=True"
        )
    if last > positive(values):
        raise ValueError(
            f"window = {window}, but eigenvalue {positive(values) + 1} is {values[positive(values)]:g}, not positive; "
            "end the window before it, or give truncate=True"
        )
    n = np.arange(first, last + 1)
    x, y = np.log(n), np.log(values[first - 1 : last])
    w = 1 / n if weighted else np.ones(len(n))
    x_mean, y_mean = np.average(x, weights=w), np.average(y, weights=w)
    sxx, sxy, syy = (np.sum(w * a * b) for a, b in ((x - x_mean,) * 2, (x - x_mean, y - y_mean), (y - y_mean,) * 2))
    slope = sxy / sxx
    residual = max(syy - slope * sxy, 0.0)
    error = np.sqrt(residual / (len(n) - 2) / sxx)
    r_squared = 1 - residual / syy if syy > 0 else 1.0
    scale = y_mean - slope * x_mean
    return Fit(float(-slope), float(scale), float(error), float(r_squared), first, last)


def positive(spectrum: ArrayLike) -> int:
    """How many leading eigenvalues are positive."""
    bad = ~(_real(spectrum) > 0)
    return int(bad.argmax()) if bad.any() else len(bad)


def reach(spectrum: ArrayLike, line: Fit, factor: float = 2.0) -> int:
    """The last rank up to which the spectrum stays within ``factor`` of a fitted line, going up from its middle.

    The middle is the geometric mean of the window's ends. If the spectrum is further off even there, the result lies
    below the middle: there is no power law to leave. Raises ``ValueError`` if factor is not above 1.

    >>> spectrum = np.arange(1.0, 1001.0) ** -1
    >>> spectrum[400:] /= 100  # the power law ends at rank 400
    >>> reach(spectrum, fit(spectrum, (11, 100)))
    400
    """
    if not factor > 1:
        raise ValueError(f"factor = {factor}; give a factor > 1, such as 2")
    middle = round((line.first * line.last) ** 0.5)
    values = _checked(spectrum)
    values = values[middle - 1 : positive(values)]
    apart = np.abs(np.log(values / line.line(np.arange(middle, middle + len(values))))) > np.log(factor)
    ranks = middle - 1 + (int(apart.argmax()) if apart.any() else len(apart))
    return min(ranks, positive(spectrum))  # a line of a longer spectrum may have its middle beyond the end


def local_exponent(spectrum: ArrayLike, ratio: float = 1.5) -> tuple[Array, Array]:
    """Ranks n and the exponent of a fit over the ranks n / ratio to n * ratio around each of them.

    Only ranks whose window has at least three ranks and lies within the positive part of the spectrum.
    """
    if not ratio > 1:
        raise ValueError(f"ratio = {ratio}; give a ratio > 1, such as 1.5")
    values = _checked(spectrum)
    end = positive(values)
    n = np.arange(1, end + 1)
    first, last = np.ceil(n / ratio).astype(int), np.floor(n * ratio).astype(int)
    good = (last <= end) & (last - first >= 2)
    return n[good].astype(float), _exponents(values[:end], first[good], last[good])


def window_map(spectrum: ArrayLike, first: ArrayLike, last: ArrayLike) -> Array:
    """Alpha for every window, (len(first), len(last)); NaN where first is not at least two ranks below last.

    Sums over windows are differences of running sums, so all windows together cost one pass over the spectrum. Raises
    ``ValueError`` for windows beyond the positive part of the spectrum.
    """
    values = _checked(spectrum)
    a, b = np.meshgrid(np.asarray(first, dtype=int), np.asarray(last, dtype=int), indexing="ij")
    if a.min() < 1 or b.max() > positive(values):
        raise ValueError(
            f"windows span ranks {a.min()} to {b.max()}; the spectrum is positive at ranks 1 to {positive(values)}"
        )
    result = np.full(a.shape, np.nan)
    good = b - a >= 2
    result[good] = _exponents(values[: positive(values)], a[good], b[good])
    return result


def participation_ratio(spectrum: ArrayLike) -> float:
    """(sum lambda)^2 / sum lambda^2: the number of directions if all variances were equal; 1 if one had them all.

    >>> print(participation_ratio([2.0, 2.0, 2.0, 0.0]))
    3.0
    """
    values = _checked(spectrum)
    values = values / abs(values).max()  # so that no square leaves the floating-point numbers
    return float(values.sum() ** 2 / np.square(values).sum())


def _exponents(values: Array, first: NDArray[np.int_], last: NDArray[np.int_]) -> Array:
    """Exponents of ordinary fits over ranks first..last (1-based, inclusive) of a positive spectrum."""
    x, y = np.log(np.arange(1, len(values) + 1)), np.log(values)
    x, y = x - x.mean(), y - y.mean()  # keeps the running sums small, and with them what differences lose
    sums = (np.concatenate([[0.0], np.cumsum(terms)]) for terms in (np.ones_like(x), x, y, x * x, x * y))
    count, sx, sy, sxx, sxy = (total[last] - total[first - 1] for total in sums)
    return -(sxy - sx * sy / count) / (sxx - sx * sx / count)


def _checked(spectrum: ArrayLike, ordered: bool = True) -> Array:
    """The spectrum as float64; ``ValueError`` for one whose exponent would be wrong without a sign of it."""
    values = _real(spectrum)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"spectrum has shape {values.shape} or holds NaN or infinity; give finite eigenvalues in one dimension"
        )
    if not values.any():
        raise ValueError("spectrum is zero throughout; there is no power law or dimension to speak of")
    rises = np.flatnonzero(np.diff(values) > 0)
    if ordered and len(rises):
        raise ValueError(
            f"spectrum rises from rank {rises[0] + 1} to {rises[0] + 2} ({values[rises[0]]:g}, "
            f"{values[rises[0] + 1]:g}); sort the eigenvalues, the largest first"
        )
    return values


def _real(spectrum: ArrayLike) -> Array:
    given = np.asarray(spectrum)
    if np.iscomplexobj(given):
        raise ValueError("spectrum is complex; give real eigenvalues (.real, if rounding made the imaginary parts)")
    return given.astype(float)
