"""Do steeper spectra go with robustness? Exponents beside critical norms, over models and over readouts of one layer.

For the chapter "Beyond the paper". Exponents are those after the activation, where the readout looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from bioadv.lab import corrections, numbers, readout_numbers, runs
from bioadv.measure import powerlaw

Point = tuple[float, float]  # exponent, median critical norm


def exponents(model: str, window: tuple[int, int] = powerlaw.IMAGES) -> dict[int, float]:
    """Exponent of a model's latent after the activation, on CIFAR-10 test images, by seed."""
    found = runs.at_hand(model, "spectra.json")
    return {seed: numbers.exponent(run, "images_after", window, truncate=True) for seed, run in found.items()}


def points(models: Sequence[str], measure: str, window: tuple[int, int] = powerlaw.IMAGES) -> dict[str, list[Point]]:
    """Exponent and median critical norm, of ``corrections.NORMS``, of every seed that has both; own images."""
    found: dict[str, list[Point]] = {}
    for model in models:
        steep = exponents(model, window)
        for seed, run in runs.at_hand(model, "perturbations.json").items():
            if seed in steep:
                found.setdefault(model, []).append((steep[seed], corrections.medians([run], measure)[0]))
    return found


def rank_correlation(found: Mapping[str, Sequence[Point]]) -> float:
    """Spearman's, over models, each at the mean over its seeds; ``ValueError`` for fewer than three models."""
    if len(found) < 3:
        raise ValueError(f"found has {len(found)} models; give at least 3 to correlate")
    steep, norm = np.array([np.mean(seeds, axis=0) for seeds in found.values()]).T
    return float(stats.spearmanr(steep, norm).statistic)


def of_readouts(model: str) -> tuple[float, list[np.ndarray]]:
    """Exponent of a hidden layer, mean over seeds, and for each seed median critical norms along its path of penalties.

    From the strongest penalty to the best accuracy, each on the images that it decides correctly.
    """
    paths = [run.arrays("paths") for run in runs.at_hand(model, "paths.json").values()]
    norms = [np.exp([readout_numbers.log_best(p, place) for place in readout_numbers.rising(p)]) for p in paths]
    return float(np.mean(list(exponents(model).values()))), norms


def at_accuracy(model: str, accuracy: float) -> Point:
    """Exponent of a hidden layer, and critical norm where its readouts have an accuracy; means over the seeds that do.

    The norm is NaN where no readout of any seed has it.
    """
    paths = [run.arrays("paths") for run in runs.at_hand(model, "paths.json").values()]
    logs = [readout_numbers.at_accuracy(path, accuracy) for path in paths]
    reached = [value for value in logs if np.isfinite(value)]
    return float(np.mean(list(exponents(model).values()))), float(np.exp(np.mean(reached))) if reached else np.nan
