"""The table of predictions that chapters show: statement, value, measured, verdict, seeds."""

from __future__ import annotations

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
TABLE = ["prediction", "predicted", "measured", "verdict", "seeds"]


def table(outcomes: Sequence[Outcome]) -> Table:
    """A row per prediction; numbers are of the seeds that decide: one, both, or their mean and spread."""
    return Table(TABLE, [row(outcome) for outcome in outcomes])


def row(outcome: Outcome) -> list[object]:
    """Statement, value, measured, verdict and seeds of one prediction, a line per model."""
    entry = outcome.prediction
    values, measured = list[str](), list[str]()
    for model in entry.models:
        decides = [one for one in outcome.of(model) if one.decides]
        if decides:
            name = f"{_name(model)}: " if len(entry.models) > 1 else ""
            values.append(f"{RULES[entry.rule]} {np.mean([one.value for one in decides]):.2f}")
            measured.append(name + _shown([one.statistic for one in decides]))
    if not values and outcome.measured:
        known = [_shown([one.statistic for one in found]) for model in entry.models if (found := outcome.of(model))]
        measured.append(f"known before: {', '.join(known)}")
    allowed = f" ± {entry.tolerance:g}" if entry.tolerance and values else ""
    where = "" if entry.scale == "paper" else f" <small>({entry.scale}, {escaped(entry.data)})</small>"
    reason = f" <em>{escaped(entry.withdrawn)}</em>" if entry.withdrawn else ""
    if outcome.missing and len(outcome.missing) < len(entry.models):
        reason += f" <em>Without {escaped(', '.join(map(_name, outcome.missing)))}.</em>"
    badge = f'<span class="verdict {BADGES[outcome.label]}">{outcome.label}</span>'
    lines = [Html("<br>".join(escaped(part) for part in column) or "–") for column in (values, measured)]
    lines[0] = Html(lines[0] + allowed)
    return [Html(escaped(entry.statement) + where + reason), *lines, Html(badge), str(outcome.seeds or "–")]


def _shown(values: Sequence[float]) -> str:
    return wording.of_seeds(values, places=2)


def _name(model: str) -> str:
    return study.look(model).short if model in {study.LAYER, *study.EXPERIMENTS} else model
