"""What each correction does to a conclusion: the same run read as coded, and read with one thing put right.

Everything comes from the files of the probes; nothing is trained or attacked here. For the chapter "Beyond the paper".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioadv.data import files
from bioadv.measure import critical, powerlaw

EXPONENTS = {
    "as coded (float32, before the activation)": "images_float32",
    "operands rounded to TF32": "images_tf32",
    "float32, centred": "images_float32_centred",
    "float64": "images_before",
    "float64, after the activation": "images_after",
}
HALF = "noise, half of the draws"
NORMS = {
    "noise, first failure (as coded)": "noise_norm",
    HALF: "noise_half",
    "FGSM (as coded)": "fgsm_norm",
    "PGD (as coded)": "pgd_norm",
    "PGD, margin loss": "margin_norm",
    "PGD, recommended": "recommended_norm",
    "PGD in an L2 ball": "l2_norm",
    "certified in L2": "certified_l2",
}
REFERENCE = "pgd_norm"  # measured on every image, and close to what is measured on a part of them


def exponents(run: Path, window: tuple[int, int] = powerlaw.IMAGES) -> dict[str, tuple[float, int]]:
    """Exponent of the spectrum on images, and the rank where its line ends, for each estimator of ``EXPONENTS``.

    An estimator that gives complex eigenvalues is read by their real parts, sorted, up to the first that is not
    positive.
    """
    found, spectra = {}, files.read_arrays(run / "spectra.npz")
    for name, key in EXPONENTS.items():
        values = np.sort(np.real(spectra[key]).astype(float))[::-1]
        line = powerlaw.fit(values, window, truncate=True)
        found[name] = (line.alpha, powerlaw.reach(values, line))
    return found


@dataclass(frozen=True)
class _Sample:
    """A measure on a model's images: the reference and the measure where it was made, the reference everywhere.

    A measure that was made on a part of the images is carried over to all of them by a ratio estimator: its median on
    the part, times the median of the reference everywhere over that on the part. As the two go together, it hardly
    matters then which images are in the part, and each model has another part.
    """

    reference: np.ndarray
    norms: np.ndarray
    everywhere: np.ndarray

    def median(self) -> float:
        """Median over all images; those that never fail, NaN, count as infinite, so that they are not forgotten."""
        part, value, whole = (
            float(np.median(np.nan_to_num(v.astype(float), nan=np.inf, posinf=np.inf)))
            for v in (self.reference, self.norms, self.everywhere)
        )
        return value if len(self.norms) == len(self.everywhere) else value * whole / part

    def resampled(self, chosen: np.ndarray, generator: np.random.Generator) -> _Sample:
        """A bootstrap sample: the images ``chosen`` of all; of a part, as many at random."""
        part = chosen
        if len(self.norms) < len(self.everywhere):
            part = generator.integers(len(self.norms), size=len(self.norms))
        return _Sample(self.reference[part], self.norms[part], self.everywhere[chosen])


def _samples(runs: Mapping[str, Path], measure: str, common: bool) -> dict[str, _Sample]:
    """By model, images in the order of their numbers; with ``common`` only those that all models have."""
    stored = {model: files.read_arrays(run / "perturbations.npz") for model, run in runs.items()}
    shared = set.intersection(*(set(found["images"].tolist()) for found in stored.values()))
    samples = {}
    for model, found in stored.items():
        norms = _half(found) if measure == HALF else found[NORMS[measure]]
        order = np.argsort(found["images"])
        if common:
            order = order[np.isin(found["images"][order], list(shared))]
        part = order[order < len(norms)]
        samples[model] = _Sample(found[REFERENCE][part], norms[part], found[REFERENCE][order])
    return samples


def _half(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Length of the noise at the strength where half of the draws fail, infinite where they never do."""
    steps = np.append(critical.NOISE_GRID, np.inf)
    side = np.nanmedian(found["noise_norm"] / steps[found["noise_index"]])  # length of a draw per unit of strength
    return side * steps[found["noise_half"]]


def medians(runs: Mapping[str, Path], common: bool = False) -> dict[str, dict[str, float]]:
    """Median critical norm, by measure of ``NORMS`` and model.

    common: only images that all of these models classify correctly; else, as published, each model has its own.
    """
    return {m: {model: one.median() for model, one in _samples(runs, m, common).items()} for m in NORMS}


def ratio(
    runs: Mapping[str, Path], measure: str, common: bool = False, replicates: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Median critical norm of the first of two models over that of the second, and its bootstrap error over images.

    Common images are resampled together for both models, own images for each alone. Raises ``ValueError`` for other
    than two models.
    """
    if len(runs) != 2:
        raise ValueError(f"runs has {len(runs)} models; give two, the first to be divided by the second")
    first, second = _samples(runs, measure, common).values()
    generator, drawn = np.random.default_rng(seed), []
    for _ in range(replicates):
        one, other = (generator.integers(len(s.everywhere), size=len(s.everywhere)) for s in (first, second))
        above = first.resampled(one, generator).median()
        drawn.append(above / second.resampled(one if common else other, generator).median())
    return first.median() / second.median(), float(np.std(drawn, ddof=1))


def matched(place: float, places: Sequence[float], values: Sequence[float], slack: float = 0.0) -> float:
    """Value at ``place`` of a curve through points, by linear interpolation of its logarithm.

    For the comparison of a model with others that are as accurate, or have as large a Jacobian, as it: places are
    accuracies or norms of the others, values the ratios of critical norms (> 0) to them, in any order. Outside the
    points by at most ``slack``, it is the value at the nearest of them; NaN further out.
    """
    order = np.argsort(places)
    at, logs = np.asarray(places, float)[order], np.log(np.asarray(values, float))[order]
    if not len(at) or not at[0] - slack <= place <= at[-1] + slack:
        return float("nan")
    return float(np.exp(np.interp(place, at, logs)))
