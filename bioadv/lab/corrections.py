"""What each correction does to a conclusion: the same run read as coded, and read with one thing put right.

Everything comes from the files of the probes; nothing is trained or attacked here. For the chapter "Beyond the paper".
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bioadv.lab import runs
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
PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"  # a line does not break between a value and its error
REFERENCE = "pgd_norm"  # measured on every image, and close to what is measured on a part of them


@dataclass(frozen=True)
class Estimate:
    """A number and its error (one standard deviation), NaN where there is none; of several seeds, what each gave.

    As text: of two seeds both numbers, or one where they agree; else the number and its error.
    """

    value: float
    error: float = float("nan")
    seeds: tuple[float, ...] = ()

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "–"
        if len(self.seeds) == 2:
            return " and ".join(dict.fromkeys(f"{value:.2f}" for value in self.seeds))
        if np.isnan(self.error):
            return f"{self.value:.2f}"
        places = 3 if 0 < self.error < 0.005 else 2  # an error of 0.00 would say that there is none
        return f"{self.value:.{places}f}{PLUS_MINUS}{self.error:.{places}f}"


NOTHING = Estimate(float("nan"))


def combined(found: Sequence[Estimate]) -> Estimate:
    """Mean over seeds and their standard deviation; of one seed, its own error; ``NOTHING`` of none."""
    if not found:
        return NOTHING
    values = [one.value for one in found]
    if len(values) == 1:
        return found[0]
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1)), tuple(values))


def exponents(run: Run, window: tuple[int, int] = powerlaw.IMAGES) -> dict[str, tuple[float, int]]:
    """Exponent of the spectrum on images, and the rank where its line ends, for each estimator of ``EXPONENTS``.

    An estimator that gives complex eigenvalues is read by their real parts, sorted, up to the first that is not
    positive.
    """
    found, spectra = {}, run.arrays("spectra")
    for name, key in EXPONENTS.items():
        values = np.sort(np.real(spectra[key]).astype(float))[::-1]
        line = powerlaw.fit(values, window, truncate=True)
        found[name] = (line.alpha, powerlaw.reach(values, line))
    return found


def readings(models: Sequence[str]) -> dict[str, list[dict[str, tuple[float, int]]]]:
    """:func:`exponents` of every seed at hand, for the models that have one."""
    found = {model: runs.at_hand(model, "spectra.json") for model in models}
    return {model: [exponents(run) for run in by_seed.values()] for model, by_seed in found.items() if by_seed}


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


def _samples(chosen: Sequence[Run], measure: str, common: bool) -> list[_Sample]:
    """Of each run, images in the order of their numbers; with ``common`` only those that all runs have."""
    stored = [run.arrays("perturbations") for run in chosen]
    shared = set.intersection(*(set(found["images"].tolist()) for found in stored))
    samples = []
    for found in stored:
        norms = _half(found) if measure == HALF else found[NORMS[measure]]
        order = np.argsort(found["images"])
        if common:
            order = order[np.isin(found["images"][order], list(shared))]
        part = order[order < len(norms)]
        samples.append(_Sample(found[REFERENCE][part], norms[part], found[REFERENCE][order]))
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
    return [sample.median() for sample in _samples(chosen, measure, common)]


def norms(models: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Median critical norm, by model and measure, of every seed at hand, each on the model's own images."""
    found = {model: runs.at_hand(model, "perturbations.json") for model in models}
    return {
        model: {measure: [medians([run], measure)[0] for run in by_seed.values()] for measure in NORMS}
        for model, by_seed in found.items()
        if by_seed
    }


@functools.cache
def ratio(upper: Run, lower: Run, measure: str, common: bool = False, replicates: int = 100, seed: int = 0) -> Estimate:
    """Median critical norm of one run over that of another, and its bootstrap error over images.

    Common images are resampled together for both models, own images for each alone.
    """
    first, second = _samples([upper, lower], measure, common)
    generator, drawn = np.random.default_rng(seed), []
    for _ in range(replicates):
        one, other = (generator.integers(len(s.everywhere), size=len(s.everywhere)) for s in (first, second))
        above = first.resampled(one, generator).median()
        drawn.append(above / second.resampled(one if common else other, generator).median())
    return Estimate(first.median() / second.median(), float(np.std(drawn, ddof=1)))


def lead(upper: str, lower: str, measure: str, common: bool = False) -> Estimate:
    """:func:`ratio` of two models over the seeds that both have at hand, each seed with its own."""
    first, second = (runs.at_hand(model, "perturbations.json") for model in (upper, lower))
    seeds = sorted(set(first) & set(second))
    return combined([ratio(first[seed], second[seed], measure, common) for seed in seeds])


def leads(upper: str, others: Sequence[str]) -> dict[str, dict[str, tuple[Estimate, Estimate]]]:
    """:func:`lead` over each of several models by every measure: on each model's own images, and on common ones."""
    return {
        measure: {other: (lead(upper, other, measure), lead(upper, other, measure, common=True)) for other in others}
        for measure in NORMS
    }
