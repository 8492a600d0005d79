"""Statistics of the probe ``directions``: how much of a critical norm is how far images differ along the attack.

To first order a critical norm is a product, distance in standard deviations times the length of one (see
:mod:`bioadv.measure.directions`); all here are medians over the attacked images that are decided correctly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bioadv.lab import readout_numbers
from bioadv.lab.readout_numbers import Path

PARTS = ("linear", "deviation", "distance")  # r = margin / |gradient|; s; r / s


def medians(path: Path, place: int) -> dict[str, float]:
    """Medians by part, of ``PARTS``, at a place of the path; NaN where no image is decided correctly."""
    right = path["margin"][place] > 0
    if not right.any():
        return dict.fromkeys(PARTS, float("nan"))
    margin, slope, deviation = (path[name][place][right].astype(float) for name in ("margin", "slope", "deviation"))
    values = margin / slope, deviation, margin / slope / deviation
    return {part: float(np.median(value)) for part, value in zip(PARTS, values, strict=True)}


def rising(path: Path) -> list[dict[str, float]]:
    """:func:`medians` at the places from the strongest penalty to that of the best accuracy."""
    return [medians(path, int(place)) for place in readout_numbers.rising(path)]


def ranges(paths: Iterable[Path]) -> dict[str, tuple[float, float]]:
    """By part the smallest and the largest median over the readouts of all paths, as in :func:`rising`."""
    found = [one for path in paths for one in rising(path)]
    return {part: (min(one[part] for one in found), max(one[part] for one in found)) for part in PARTS}


def log_at(path: Path, part: str, accuracy: float) -> float:
    """Logarithm of a part where the path has an accuracy, by linear interpolation; NaN where it has not."""
    places = readout_numbers.rising(path)
    accuracies = path["accuracy"][places]
    if not accuracies[0] <= accuracy <= accuracies[-1]:
        return float("nan")
    logs = [float(np.log(medians(path, int(place))[part])) for place in places]
    return float(np.interp(accuracy, accuracies, logs))


def log_own(path: Path, part: str) -> float:
    """Logarithm of a part at :func:`bioadv.lab.readout_numbers.own`."""
    return float(np.log(medians(path, readout_numbers.own(path))[part]))


def log_best(path: Path, part: str) -> float:
    """Logarithm of a part at the most accurate readout of the path."""
    return float(np.log(medians(path, readout_numbers.best(path))[part]))


def over(paths: Sequence[Path], others: Sequence[Path], accuracy: float) -> dict[str, list[float]]:
    """By part its ratio where both layers have an accuracy, for each pair of paths; NaN where one has not.

    paths, others: as many of each, or one other for all.
    """
    others = list(others) * (len(paths) if len(others) == 1 else 1)
    return {
        part: [
            float(np.exp(log_at(path, part, accuracy) - log_at(other, part, accuracy)))
            for path, other in zip(paths, others, strict=True)
        ]
        for part in PARTS
    }


def share(upper: Sequence[float], lower: Sequence[float]) -> float:
    """Which share of the logarithm of a ratio of critical norms is that of the deviations.

    upper, lower: logarithms of the critical norm and of the deviation, in this order. 1 where nothing else differs.
    """
    return (upper[1] - lower[1]) / (upper[0] - lower[0])
