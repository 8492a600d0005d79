"""What a penalty of several strengths can do: robustness against accuracy, and a model compared at its own place there.

The strengths are short trainings, the group ``frontier`` of the study. For the chapter "Beyond the paper".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bioadv.data import checks
from bioadv.lab import bootstrap, corrections, runs, study
from bioadv.lab.bootstrap import Estimate
from bioadv.lab.corrections import Comparison
from bioadv.lab.runs import Run

MEASURED = "perturbations.json"
Point = tuple[float, float]  # accuracy, median critical norm
Curve = tuple[Run, ...]  # a run of each strength of weight decay
# Where a model is compared with a curve: the number that has to agree, and how far beyond the curve's ends it may lie.
PLACES: dict[str, tuple[Callable[[Run], float], float]] = {
    "accuracy": (lambda run: run.accuracy, 0.005),
    "jacobian": (lambda run: run.last("jacobian"), 0.0),
}


def swept(of_decay: bool) -> list[str]:
    """The short trainings that are at hand: strengths of weight decay, or the others."""
    names = [name for name, chosen in study.EXPERIMENTS.items() if chosen.group == "frontier"]
    return [name for name in names if name.startswith("short-l2") == of_decay and runs.at_hand(name, MEASURED)]


def points(models: Sequence[str], measure: str) -> dict[str, list[Point]]:
    """Accuracy and median critical norm of every seed at hand, each model on its own images."""
    found = {model: runs.at_hand(model, MEASURED) for model in models}
    return {
        model: [(run.accuracy, corrections.medians([run], measure)[0]) for run in by_seed.values()]
        for model, by_seed in found.items()
        if by_seed
    }


def curves() -> dict[int, Curve]:
    """The short trainings with weight decay, one of each strength at hand, by seed.

    Where a strength lacks a seed that another has, a run of it stands in, as in :func:`bioadv.lab.bootstrap.pairs`.
    """
    strengths = [runs.at_hand(name, MEASURED) for name in swept(of_decay=True)]
    seeds = sorted({seed for by_seed in strengths for seed in by_seed})
    columns = [bootstrap.pairs(dict(zip(seeds, seeds, strict=True)), by_seed) for by_seed in strengths]
    return {seed: tuple(column[number][1] for column in columns) for number, seed in enumerate(seeds)}


def _paired(model: str) -> list[tuple[Run, Curve]]:
    """Each seed at hand of a model with a curve, or each curve with a seed of the model, if there are more of them."""
    return bootstrap.pairs(runs.at_hand(model, MEASURED), curves())


def lead_at(model: str, measure: str, place: str, common: bool = False) -> Estimate:
    """Median critical norm of a model over that of weight decay of the strength that agrees in a place of ``PLACES``.

    Interpolated between the strengths at hand; over the seeds of the model or of the strengths, whichever has more, as
    far as the model lies within the curve's ends. ``NOTHING`` where it does with no seed.
    """
    found = [_beside(run, curve, place) for run, curve in _paired(model)]
    return corrections.compared([one for one in found if one], measure, common)


def range_at(model: str) -> tuple[float, float]:
    """The smallest and the largest :func:`lead_at` equal accuracy on common images, of all attacks; no certificate."""
    attacks = [measure for measure in corrections.NORMS if not measure.startswith("certified")]
    found = [lead_at(model, measure, "accuracy", common=True).value for measure in attacks]
    return min(found), max(found)


def beside(run: Run, place: str) -> Comparison | None:
    """A run against weight decay of the strength that agrees with it in a place; None beyond the curve's ends."""
    curve = next((curve for one, curve in _paired(run.model) if one.seed == run.seed), ())
    return _beside(run, curve, place)


def _beside(run: Run, curve: Curve, place: str) -> Comparison | None:
    checks.known("place", place, tuple(PLACES))
    where, slack = PLACES[place]
    at, own = [where(other) for other in curve], where(run)
    if np.isnan(interpolated(own, at, [1.0] * len(at), slack)):
        return None
    return Comparison(tuple((run, other) for other in curve), lambda ratios: interpolated(own, at, ratios, slack))


def leads_at(model: str) -> dict[str, dict[str, tuple[Estimate, Estimate]]]:
    """:func:`lead_at` by measure and place: on each model's own images, and on those that both classify correctly."""
    return {
        measure: {place: (lead_at(model, measure, place), lead_at(model, measure, place, True)) for place in PLACES}
        for measure in corrections.NORMS
    }


def interpolated(place: float, places: Sequence[float], values: Sequence[float], slack: float = 0.0) -> float:
    """Value at ``place`` of a curve through points, by linear interpolation of its logarithm.

    For the comparison of a model with others that are as accurate, or have as large a Jacobian, as it: places are
    accuracies or norms of the others, values the ratios of critical norms (> 0) to them, in any order. Outside the
    points by at most ``slack``, it is the value at the nearest of them; NaN further out.
    """
    order = np.argsort(places)
    at, logs = np.asarray(places, float)[order], np.log(np.maximum(values, np.finfo(float).tiny))[order]
    if not len(at) or not at[0] - slack <= place <= at[-1] + slack:
        return float("nan")
    return float(np.exp(np.interp(place, at, logs)))
