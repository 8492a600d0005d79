"""Predictions that were written down before their runs, and what the runs say of them.

``book/predictions.yaml`` states each with the rule that decides it; its first lines say what the statistics and rules
mean. Verdicts follow from stored results alone. These hypotheses are this book's, not the authors'.
What may be predicted, statistics of stored runs, is in :mod:`bioadv.lab.statistics`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioadv.data import checks, shipped
from bioadv.lab import alone, runs, statistics, study, yaml_files
from bioadv.lab.schemas import PredictionEntry as Prediction
from bioadv.lab.statistics import MissingError, Subject
from bioadv.measure import powerlaw

LEDGER = shipped.folder("book") / "predictions.yaml"
HOLDS, IN_PART, FAILS = "holds", "holds in part", "fails"
UNMEASURED, WITHDRAWN = "not measured", "withdrawn"
LABELS = (HOLDS, IN_PART, FAILS, UNMEASURED, WITHDRAWN)
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")


@dataclass(frozen=True)
class Measured:
    """One model with one seed: the statistic and the value of the prediction; decides: not known beforehand."""

    model: str
    seed: int
    statistic: float
    value: float
    decides: bool = True

    @property
    def gap(self) -> float:
        """Statistic less value."""
        return self.statistic - self.value


@dataclass(frozen=True)
class Outcome:
    """What the stored results say of a prediction: a label of ``LABELS``, all that was measured, models without any."""

    prediction: Prediction
    label: str
    measured: tuple[Measured, ...]
    missing: tuple[str, ...]

    @property
    def seeds(self) -> int:
        """The number of seeds that decide: of models with different numbers, the smallest."""
        counts = [sum(one.decides for one in self.of(model)) for model in self.prediction.models]
        return min((count for count in counts if count), default=0)

    def of(self, model: str) -> list[Measured]:
        """What was measured of a model, by seed."""
        return [one for one in self.measured if one.model == model]


def read(path: Path = LEDGER) -> list[Prediction]:
    """The predictions in the order of the file; ``ValueError`` names the file and the entry that is not well formed."""
    listed = yaml_files.read(path)
    if not isinstance(listed, list):
        raise ValueError(f"{path} is not a list of predictions; begin each with '- id: ...'")
    found = list[Prediction]()
    for number, given in enumerate(listed, 1):
        label = given.get("id", number) if isinstance(given, dict) else number
        entry = yaml_files.check(Prediction, given, f"{path}: prediction {label!r}")
        if entry.rule == "close" and entry.tolerance is None:
            raise ValueError(f"{path}: prediction {entry.id!r}: tolerance is missing; give what rule 'close' allows")
        try:
            _check(entry)
        except ValueError as error:
            raise ValueError(f"{path}: prediction {entry.id!r}: {error}") from None
        if any(entry.id == other.id for other in found):
            raise ValueError(f"{path} has two predictions with id {entry.id!r}; give each its own")
        found.append(entry)
    return found


def _check(entry: Prediction) -> None:
    """``ValueError`` for a name that would never be measured: of a model, a statistic, or one in the formula."""
    known = [*study.EXPERIMENTS, *study.SUBJECTS, study.LAYER]
    if entry.scale in statistics.ALONE:
        known += alone.names(entry.scale, entry.data)
    for model in entry.models:
        checks.known(f"at scale {entry.scale}, model", model, known)
    if len(set(entry.models)) < len(entry.models):
        raise ValueError(f"models = {entry.models}; give each of them once")
    if entry.window and not entry.window[0] + 2 <= entry.window[1]:
        raise ValueError(f"window = {entry.window}; give a first and a last rank with at least one between them")
    for word in (entry.statistic, *_words(entry.value)[::2]):
        if not NUMBER.fullmatch(word):
            _, other = statistics.resolved(word)
            if other:
                checks.known(f"in {word!r}, model", other, known)
        elif not np.isfinite(float(word)):
            raise ValueError(f"value = {entry.value!r} is not finite; give another")


def evaluate(entry: Prediction) -> Outcome:
    """Apply a prediction's rule to the stored results.

    ``close``: for every model the mean over seeds of statistic less value is within the tolerance, in part within
    twice that; ``at least``, ``at most``: every seed of every model lies on that side of the value, in part half of
    them. Only seeds decide that were not known. Raises ``ValueError`` for a statistic or formula that is not known.
    """
    window = (entry.window[0], entry.window[1]) if entry.window else powerlaw.IMAGES
    measured = list[Measured]()
    for model in entry.models:
        for seed in runs.seeds(statistics.folder(entry.scale, entry.data) / model):
            subject = Subject(model, seed, entry.data, entry.scale, window)
            try:
                pair = statistics.statistic(entry.statistic, subject), value(entry.value, subject)
            except MissingError:
                continue
            measured.append(Measured(model, seed, *pair, decides=seed not in entry.known))
    deciding = [one for one in measured if one.decides]
    missing = tuple(model for model in entry.models if all(one.model != model for one in deciding))
    return Outcome(entry, _label(entry, deciding), tuple(measured), missing)


def _label(entry: Prediction, deciding: Sequence[Measured]) -> str:
    if entry.withdrawn:
        return WITHDRAWN
    if not deciding:
        return UNMEASURED
    if entry.rule == "close":
        models = {one.model for one in deciding}
        gaps = [abs(float(np.mean([one.gap for one in deciding if one.model == model]))) for model in models]
        allowed = entry.tolerance or 0.0
        return HOLDS if max(gaps) <= allowed else IN_PART if max(gaps) <= 2 * allowed else FAILS
    sign = 1 if entry.rule == "at least" else -1
    held = [sign * one.gap >= 0 for one in deciding]
    return HOLDS if all(held) else IN_PART if np.mean(held) >= 0.5 else FAILS


def summary(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many predictions got each label."""
    return {label: sum(one.label == label for one in outcomes) for label in LABELS}


def value(formula: float | str, subject: Subject) -> float:
    """The value of a formula for a subject: terms joined by + or -, each a number, a statistic, or products of them.

    ``+``, ``-`` and ``*`` stand between blanks, as names of statistics may hold blanks and signs.
    """
    words = _words(formula)
    total, term, sign = 0.0, _factor(words[0], subject), 1
    for operator, word in zip(words[1::2], words[2::2], strict=True):
        if operator == "*":
            term *= _factor(word, subject)
        else:
            total, term, sign = total + sign * term, _factor(word, subject), 1 if operator == "+" else -1
    return total + sign * term


def _words(formula: float | str) -> list[str]:
    """Factors and, in between, the signs that join them."""
    return re.split(r" ([+*-]) ", str(formula).strip())


def _factor(word: str, subject: Subject) -> float:
    return float(word) if NUMBER.fullmatch(word) else statistics.statistic(word, subject)
