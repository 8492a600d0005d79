"""The table of predictions that chapters show: statement, value, measured, verdict, seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from bioadv.lab import predictions, study
from bioadv.lab.predictions import Outcome
from bioadv.pages import wording
from bioadv.pages.notebook import Html, Table, escaped

BADGES = {  # the style sheet's names for the verdicts of the ledger
    predictions.HOLDS: "reproduced",
    predictions.IN_PART: "reproduced-in-part",
    predictions.FAILS: "not-reproduced",
    predictions.UNMEASURED: "not-measured-yet",
    predictions.WITHDRAWN: "not-testable",
}
RULES = {"close": "≈", "at least": "≥", "at most": "≤"}
SCALES = {"small": "at small scale", "untrained": "without learning"}
IMAGES = {
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "photo-patches": "photo patches",
    "cifar10-scrambled": "CIFAR-10 with scrambled phases",
    "cifar10-whitened": "CIFAR-10, whitened",
}
TABLE = ["prediction", "predicted", "measured", "verdict", "seeds"]


def table(outcomes: Sequence[Outcome]) -> Table:
    """A row per prediction, those that were measured first; numbers are of the seeds that decide."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.label == predictions.UNMEASURED)
    return Table(TABLE, [row(outcome) for outcome in ordered])


def row(outcome: Outcome) -> list[object]:
    """Statement, value, measured, verdict and seeds of one prediction, a line per model."""
    entry = outcome.prediction
    values, measured = list[str](), list[str]()
    for model in entry.models if not entry.withdrawn else ():
        decides = [one for one in outcome.of(model) if one.decides]
        if decides:
            name = f"{_name(model)}: " if len(entry.models) > 1 else ""
            value = float(np.mean([one.value for one in decides]))
            found = [one.statistic for one in decides]
            # More digits where two do not show which is the larger, from which the verdict follows.
            places = 4 if entry.rule != "close" and _shown(found) == wording.to_place(value, 2) else 2
            if entry.rule == "close" and entry.tolerance:
                low, high = (wording.to_place(value + side * entry.tolerance, places) for side in (-1, 1))
                values.append(f"{low} to {high}")
            else:
                values.append(f"{RULES[entry.rule]} {wording.to_place(value, places)}")
            measured.append(name + _shown(found, places))
    if not values and outcome.measured and not entry.withdrawn:
        known = [_shown([one.statistic for one in given]) for model in entry.models if (given := outcome.of(model))]
        measured.append(f"known before: {', '.join(known)}")
    where = "" if entry.scale == "paper" else f" <small>({SCALES[entry.scale]}, {_images(entry.data)})</small>"
    reason = f" <em>{escaped(entry.withdrawn)}</em>" if entry.withdrawn else ""
    if outcome.missing and not entry.withdrawn and len(outcome.missing) < len(entry.models):
        reason += f" <em>Without {escaped(', '.join(map(_name, outcome.missing)))}.</em>"
    badge = f'<span class="verdict {BADGES[outcome.label]}">{outcome.label}</span>'
    lines = [Html("<br>".join(escaped(part) for part in column) or "–") for column in (values, measured)]
    seeds = outcome.seeds if measured else 0
    return [Html(escaped(entry.statement) + where + reason), *lines, Html(badge), str(seeds or "–")]


def _shown(values: Sequence[float], places: int = 2) -> str:
    return wording.of_seeds(values, places=places)


def _images(data: str) -> str:
    return IMAGES.get(data) or str(escaped(data))


def _name(model: str) -> str:
    return study.look(model).short if model in {study.LAYER, *study.EXPERIMENTS} else layer(model)


def layer(name: str) -> str:
    """What a layer alone has that others of its scale have not, by its name; another name as it is.

    >>> layer("settled-200")
    '200\\xa0units'
    >>> layer("settled-100-of-2500")
    '100\\xa0units,\\xa02500\\xa0images'
    """
    found = re.fullmatch(r"(?:settled-)?(?:(delta|k|p|units)-)?([\d.]+)(?:-of-(\d+))?", name)
    if not found:
        return name
    what, number, images = found.groups()
    text = f"{number} units" if what in (None, "units") else f"{what.replace('delta', 'Δ')} = {number}"
    text += f", {images} images" if images else ""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
