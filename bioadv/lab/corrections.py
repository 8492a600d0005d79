"""What each correction does to a conclusion: the same run read as coded, and read with one thing put right.

Everything comes from the files of the probes; nothing is trained or attacked here. For the chapter "Beyond the paper".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bioadv.data import checks
from bioadv.lab import bootstrap, runs
from bioadv.lab.bootstrap import NOTHING, Estimate
from bioadv.lab.probe_perturbations import median_norm
from bioadv.lab.runs import Run
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


def exponents(run: Run, window: tuple[int, int] = powerlaw.IMAGES) -> dict[str, tuple[float, int]]:
    """Exponent of the spectrum on images, and the rank where its line ends, for each estimator of ``EXPONENTS``.

    An estimator that gives complex eigenvalues is read by their real parts, sorted, up to the first that is not
    positive.
    """
    found, spectra = {}, run.arrays("spectra")
    for name, key in EXPONENTS.items():
        values = as_read(spectra[key])
        line = powerlaw.fit(values, window, truncate=True)
        found[name] = (line.alpha, powerlaw.reach(values, line))
    return found


def as_read(eigenvalues: np.ndarray) -> np.ndarray:
    """What is fitted of an estimator's eigenvalues, which may be complex: their real parts, falling."""
    return np.sort(np.real(eigenvalues).astype(float))[::-1]


def readings(models: Sequence[str]) -> dict[str, list[dict[str, tuple[float, int]]]]:
    """:func:`exponents` of every seed at hand, for the models that have one."""
    found = {model: runs.at_hand(model, "spectra.json") for model in models}
    return {model: [exponents(run) for run in by_seed.values()] for model, by_seed in found.items() if by_seed}


@dataclass(frozen=True)
class _Sorted:
    """Norms, rising, and the numbers of their images; those that never fail, NaN, count as infinite."""

    norms: np.ndarray
    images: np.ndarray

    def median(self, times: np.ndarray | None = None) -> float:
        """The median, of all or of a sample that has each image as often as ``times`` says; NaN if that is empty."""
        if times is None:
            return float(np.median(self.norms)) if len(self.norms) else np.nan
        seen = np.cumsum(times[self.images])
        if not len(seen) or not seen[-1]:
            return np.nan
        middle = np.searchsorted(seen, [(seen[-1] - 1) // 2, seen[-1] // 2], side="right")
        return float(self.norms[middle].mean())


def _sorted(norms: np.ndarray, images: np.ndarray) -> _Sorted:
    values = np.nan_to_num(norms.astype(float), nan=np.inf, posinf=np.inf)
    order = np.argsort(values)
    return _Sorted(values[order], images[order])


@dataclass(frozen=True)
class _Sample:
    """A measure on a model's images: the reference and the measure where it was made, the reference everywhere.

    A measure that was made on a part of the images is carried over to all of them by a ratio estimator: its median on
    the part, times the median of the reference everywhere over that on the part. As the two go together, it hardly
    matters then which images are in the part, and each model has another part.
    """

    reference: _Sorted
    norms: _Sorted
    everywhere: _Sorted

    def median(self, times: np.ndarray | None = None) -> float:
        """Median over all images, or over a sample of them."""
        value = self.norms.median(times)
        if len(self.norms.norms) == len(self.everywhere.norms):
            return value
        return value * self.everywhere.median(times) / self.reference.median(times)


def _samples(chosen: Sequence[Run], measures: Sequence[str], common: bool) -> list[_Sample]:
    """Of each run by its measure; with ``common`` only the images that all runs have."""
    for measure in measures:
        checks.known("measure", measure, tuple(NORMS))
    stored = [run.arrays("perturbations") for run in chosen]
    shared = set.intersection(*(set(found["images"].tolist()) for found in stored))
    samples = []
    for found, measure in zip(stored, measures, strict=True):
        norms = _half(found) if measure == HALF else found[NORMS[measure]]
        reference, images = found[REFERENCE], found["images"]
        kept = np.flatnonzero(np.isin(images, list(shared))) if common else np.arange(len(images))
        part = kept[kept < len(norms)]
        samples.append(
            _Sample(
                _sorted(reference[part], images[part]),
                _sorted(norms[part], images[part]),
                _sorted(reference[kept], images[kept]),
            )
        )
    return samples


def _half(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Length of the noise at the strength where half of the draws fail, infinite where they never do."""
    steps = np.append(critical.NOISE_GRID, np.inf)
    # The length of a draw per unit of strength.
    side = median_norm(found["noise_norm"] / steps[found["noise_index"]])
    return side * steps[found["noise_half"]]


def medians(chosen: Sequence[Run], measure: str, common: bool = False) -> list[float]:
    """Median critical norm of each run by a measure of ``NORMS``.

    common: only images that all of these runs classify correctly; else, as coded, each model has its own.
    """
    return [sample.median() for sample in _samples(chosen, [measure] * len(chosen), common)]


def norms(models: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Median critical norm, by model and measure, of every seed at hand, each on the model's own images."""
    found = {model: runs.at_hand(model, "perturbations.json") for model in models}
    return {
        model: {measure: [medians([run], measure)[0] for run in by_seed.values()] for measure in NORMS}
        for model, by_seed in found.items()
        if by_seed
    }


def _first(ratios: Sequence[float]) -> float:
    return ratios[0]


@dataclass(frozen=True)
class Comparison:
    """What one seed says: a number of the ratios of the median critical norms of pairs of runs, upper over lower."""

    pairs: tuple[tuple[Run, Run], ...]
    of: Callable[[Sequence[float]], float] = _first


def compared(
    seeds: Sequence[Comparison],
    measure: str,
    common: bool = False,
    replicates: int = 100,
    seed: int = 0,
    against: str | None = None,
) -> Estimate:
    """Mean over training seeds, and its error by a hierarchical bootstrap: seeds are drawn anew, then images.

    against: the measure of the lower run of each pair, if it is another one.

    All seeds and both models of a pair have the same sample of images, as all were attacked on the same test set; of
    one seed, the error is that of a bootstrap over images. ``NOTHING`` of no seed; no error without replicates.
    """
    if not seeds:
        return NOTHING
    measures = measure, against or measure
    samples = [[_samples(pair, measures, common) for pair in one.pairs] for one in seeds]
    numbers = np.unique([n for one in samples for pair in one for sample in pair for n in sample.everywhere.images])
    if not len(numbers):  # the two share no image
        return NOTHING

    def value(which: int, drawn: np.ndarray | None) -> float:
        times = None if drawn is None else np.bincount(drawn, minlength=numbers[-1] + 1)
        return seeds[which].of([upper.median(times) / lower.median(times) for upper, lower in samples[which]])

    return bootstrap.hierarchical(value, len(seeds), numbers, replicates, seed)


def averaged(
    values: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
    of: Callable[[np.ndarray], float] = median_norm,
    replicates: int = 100,
    seed: int = 0,
) -> Estimate:
    """Mean over training seeds of a number of what was measured on images, with its error as in :func:`compared`.

    values, images: for each seed what was measured (N,), and the numbers (N,) of the images in the test set, which all
    seeds share; of: the number, by default the median as coded. ``NOTHING`` of no seed or no image.
    """
    numbers = np.unique(np.concatenate([*images, np.array([], int)]))
    if not len(numbers):
        return NOTHING

    def value(which: int, drawn: np.ndarray | None) -> float:
        found = values[which]
        if drawn is None:
            return of(found)
        return of(np.repeat(found, np.bincount(drawn, minlength=numbers[-1] + 1)[images[which]]))

    return bootstrap.hierarchical(value, len(values), numbers, replicates, seed)


def lead(upper: str, lower: str, measure: str, common: bool = False, against: str | None = None) -> Estimate:
    """Median critical norm of one model over that of another, over all seeds of the one that has more; ``NOTHING``
    without both. See :func:`compared`.
    """
    first, second = (runs.at_hand(model, "perturbations.json") for model in (upper, lower))
    return compared([Comparison((pair,)) for pair in bootstrap.pairs(first, second)], measure, common, against=against)


def shared(upper: str, lower: str) -> list[tuple[Run, Run]]:
    """The attacked runs of two models, of the seeds that both have: for models that share a hidden layer, say."""
    first, second = (runs.at_hand(model, "perturbations.json") for model in (upper, lower))
    return [(run, second[seed]) for seed, run in first.items() if seed in second]


def share_above(upper: str, lower: str, measure: str, against: str) -> Estimate:
    """Share of images on which one model's norm by a measure exceeds another's by a second one, over pairs of seeds.

    Of the images that both classify correctly and on which both norms were measured, with the error of
    :func:`averaged`. With a certificate against an attack: on how many images it is proven that the first is harder to
    fool. ``NOTHING`` without both, or where a pair has no such image.
    """
    first_model, second_model = (runs.at_hand(model, "perturbations.json") for model in (upper, lower))
    above, numbers = list[np.ndarray](), list[np.ndarray]()
    for one, other in bootstrap.pairs(first_model, second_model):
        (norms, images), (beside, seen) = (_measured(*side) for side in ((one, measure), (other, against)))
        common, first, second = np.intersect1d(images, seen, return_indices=True)
        if not len(common):
            return NOTHING
        above.append((norms[first] > beside[second]).astype(float))
        numbers.append(common)
    return averaged(above, numbers, lambda share: float(np.mean(share)))


def _measured(run: Run, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Norms by a measure, infinite where an image never fails, and the numbers of the images that it was made on."""
    checks.known("measure", measure, tuple(NORMS))
    found = run.arrays("perturbations")
    norms = np.nan_to_num(_half(found) if measure == HALF else found[NORMS[measure]], nan=np.inf, posinf=np.inf)
    return norms, found["images"][: len(norms)]


def leads(upper: str, others: Sequence[str]) -> dict[str, dict[str, tuple[Estimate, Estimate]]]:
    """:func:`lead` over each of several models by every measure: on each model's own images, and on common ones."""
    return {
        measure: {other: (lead(upper, other, measure), lead(upper, other, measure, common=True)) for other in others}
        for measure in NORMS
    }
