"""Estimates over training seeds, and their errors by a hierarchical bootstrap: seeds are drawn anew, then images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

First = TypeVar("First")
Second = TypeVar("Second")
PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"  # a line does not break between a value and its error


@dataclass(frozen=True)
class Estimate:
    """A number, mean over training seeds, and its error, NaN where there is none; seeds: what each gave.

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
        places = 2  # more where an error of 0.00 would say that there is none
        if 0 < self.error < 0.005:
            places = -int(np.floor(np.log10(self.error)))
        return f"{self.value:.{places}f}{PLUS_MINUS}{self.error:.{places}f}"


NOTHING = Estimate(float("nan"))


def hierarchical(
    value: Callable[[int, np.ndarray | None], float], seeds: int, images: np.ndarray, replicates: int, seed: int
) -> Estimate:
    """Mean of ``value(which seed, None)`` and its error over samples: of ``value(which seed, images drawn)``.

    images: the numbers (N,) of those that were measured. A sample has as many seeds and as many images as there are,
    drawn with replacement; all its seeds have the same images. Of one seed, the error is that of a bootstrap over
    images; NaN without replicates.
    """
    values, generator, drawn = tuple(value(which, None) for which in range(seeds)), np.random.default_rng(seed), []
    for _ in range(replicates):
        chosen = generator.integers(seeds, size=seeds)
        sample = images[generator.integers(len(images), size=len(images))]
        drawn.append(float(np.mean([value(which, sample) for which in chosen])))
    return Estimate(float(np.mean(values)), float(np.nanstd(drawn, ddof=1)) if drawn else np.nan, values)


def pairs(first: Mapping[int, First], second: Mapping[int, Second]) -> list[tuple[First, Second]]:
    """Runs of two models, by seed, side by side: each of the one that has more with its own seed of the other.

    Where the other lacks that seed, those that it has stand in, in turn, first the ones that are in no other pair. So
    no run is left out because the other model was trained less often, and none of the one that has more counts twice.
    Nothing but their images, which all seeds share, ties equal seeds of different models together.
    """
    if not first or not second:
        return []
    if len(second) > len(first):
        return [(one, other) for other, one in pairs(second, first)]
    stand_ins = itertools.cycle([second[seed] for seed in second if seed not in first] or second.values())
    return [(run, second[seed] if seed in second else next(stand_ins)) for seed, run in first.items()]
