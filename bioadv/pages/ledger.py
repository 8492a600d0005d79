"""The ledger of claims as a page shows it: what carries the argument first, a card per claim, values side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bioadv.lab import claims, study
from bioadv.lab.claims import IN_PART, NOT, REPRODUCED, UNMEASURED, UNTESTABLE, Claim, Verdict
from bioadv.lab.looks import GREY, TEAL, WINE
from bioadv.pages import wording
from bioadv.pages.notebook import Html, escaped
from bioadv.pages.plots import WIDTH

READINGS = "Readings of its words and figures"
# Where a claim stands on the page, by how its identifier begins; all others are what the argument rests on.
PARTS: dict[str, tuple[str, ...]] = {
    "What the argument rests on": (),
    READINGS: (),
    "Critical perturbations": ("critical-",),
    "Accuracy": ("accuracy-kh", "accuracy-bp", "accuracy-l2", "accuracy-jreg", "accuracy-specreg"),
    "Exponents of spectra": ("exponent-",),
    "Jacobian norms and pruned units": ("plane-", "kh-jac", "bp-jac", "jreg-jac", "specreg-jac", "pruned-units"),
}
COLOURS = {REPRODUCED: TEAL, IN_PART: "#8FB7BD", NOT: WINE, UNTESTABLE: GREY, UNMEASURED: "#D9D9D9"}
MARKS = {REPRODUCED: "✓", IN_PART: "◐", NOT: "✗", UNTESTABLE: "–", UNMEASURED: "…"}
NAMES = {"end of the power law": "here, leaves its line at rank"}  # of statistics for which "here" is not enough
# Digits after the point by statistic, the longest beginning that fits; accuracies are percentages.
PLACES = {
    "accuracy": 2,
    "jacobian": 1,
    "exponent": 2,
    "end of the power law": 0,
    "rank where": 0,
    "critical norm, noise": 2,
    "critical norm": 3,
    "plane": 1,
    "regions": 1,
    "pruned": 0,
    "change": 2,
}


def part(claim: Claim) -> str:
    """The part of the page that a claim belongs to."""
    if claim.reading:
        return READINGS
    for name, heads in PARTS.items():
        if claim.id.startswith(heads) and heads:
            return name
    return next(iter(PARTS))


def value(statistic: str, values: Sequence[float]) -> str:
    """Values of a statistic over seeds, in the unit and with the digits in which the paper's are shown as well."""
    heads = [head for head in sorted(PLACES, key=len, reverse=True) if statistic.startswith(head)]
    places = PLACES[heads[0]] if heads else 2
    if statistic == "accuracy":
        return f"{wording.of_seeds([100 * one for one in values], places=places)} %"
    return wording.of_seeds(values, places=places)


def measured(claim: Claim, verdict: Verdict) -> list[tuple[str, str]]:
    """Pairs of a name and values: the paper's value, or the bound of a reading; ours, by model; and the controls."""
    lines = []
    if claim.value is not None and claim.rule != "untestable":
        bound = f"{claim.rule} " if claim.rule in ("at least", "at most") else ""
        allowed = f" (tolerance {value(claim.statistics[0], [claim.tolerance])})" if claim.tolerance else ""
        lines.append(
            ("bound" if claim.reading else "paper", f"{bound}{value(claim.statistics[0], [claim.value])}{allowed}")
        )
    found: dict[str, list[tuple[float, str]]] = {}
    for key, values in verdict.values.items():
        statistic, model = key.rsplit(", ", 1)
        title = "" if claim.rule == "close" else f"{study.title(model)} "
        found.setdefault(statistic, []).append((float(np.mean(values)), f"{title}{value(statistic, values)}"))
    for statistic, numbers in found.items():
        name = statistic.rsplit(", ", 1)[-1] if len(found) > 1 else NAMES.get(statistic, "here")
        lines.append((name, _in_order(numbers) if claim.rule == "order" else ", ".join(text for _, text in numbers)))
    return lines + [(name, value(claim.controls[name][0], found)) for name, found in verdict.controls.items()]


def _in_order(numbers: Sequence[tuple[float, str]]) -> str:
    """In the order of the claim, each with the sign that is true between it and the next."""
    text = numbers[0][1]
    for (before, _), (after, shown) in pairwise(numbers):
        text += f" {'>' if before > after else '<' if before < after else '='} {shown}"
    return text


def card(claim: Claim, verdict: Verdict) -> str:
    """A claim as HTML: the sentence, the verdict with its seeds, the values, what is behind it, where it is shown."""
    page, label = claim.figure.split("#")
    counted = f" · {verdict.seeds} seed{'s' * (verdict.seeds != 1)}" if verdict.seeds else ""
    counted += ", divided" if verdict.divided else ""
    numbers = " · ".join(f"{escaped(name)}: {escaped(text)}" for name, text in measured(claim, verdict))
    models = " ".join(dict.fromkeys(claim.models))
    kind = verdict.label.replace(" ", "-")
    data = f'data-verdict="{kind}" data-chapter="{page}" data-model="{models}"'
    return (
        f'<article id="claim-{claim.id}" class="{kind}" {data}>'
        f'<p class="head"><span>{escaped(claim.sentence)}</span>'
        f'<span class="verdict-word">{MARKS[verdict.label]} {verdict.label}{counted}</span></p>'
        + (f'<p class="numbers">{numbers}</p>' if numbers else "")
        + (f'<p class="why">{escaped(claim.why)}</p>' if claim.why else "")
        + f'<p class="why">Stands in: {escaped(claim.where)}. <a href="{page}.html#{label}">Our figure</a>, '
        f'<a href="#claim-{claim.id}" aria-label="address of this claim">address</a>.</p></article>'
    )


def page(ledger: Sequence[Claim], verdicts: Mapping[str, Verdict]) -> Html:
    """The whole ledger as HTML, with the controls that ``pages.js`` brings to life."""
    present = {verdict.label for verdict in verdicts.values()}
    kinds = [(label.replace(" ", "-"), label) for label in MARKS if label in present]
    chapters = sorted({claim.figure.split("#")[0] for claim in ledger})
    models = [name for name in [*study.EXPERIMENTS, *study.SUBJECTS] if any(name in one.models for one in ledger)]
    choices = {
        "verdict": kinds,
        "chapter": [(name, name.replace("_", " ").capitalize()) for name in chapters],
        "model": [(name, study.title(name)) for name in models],
    }
    controls = "".join(_select(name, options) for name, options in choices.items())
    controls += (
        '<label class="guess"><input type="checkbox" name="guess"> hide the verdicts, to guess them first</label>'
    )
    shown = f'<div class="ledger-filter" hidden>{controls}<span role="status"></span></div><div class="ledger">'
    for name in PARTS:
        cards = [card(claim, verdicts[claim.id]) for claim in ledger if part(claim) == name]
        shown += f"<section><h3>{name}</h3>{''.join(cards)}</section>" if cards else ""
    return Html(f"{shown}</div>")


def _select(name: str, options: Sequence[tuple[str, str]]) -> str:
    listed = "".join(f'<option value="{key}">{escaped(text)}</option>' for key, text in [("", "all"), *options])
    return f'<label>{name}<select name="{name}">{listed}</select></label>'


class Page:
    """The ledger, as a notebook shows it."""

    def __init__(self, ledger: Sequence[Claim], verdicts: Mapping[str, Verdict]) -> None:
        self.ledger, self.verdicts = ledger, verdicts

    def _repr_html_(self) -> str:
        return str(page(self.ledger, self.verdicts))

    def __repr__(self) -> str:
        return "\n".join(f"{MARKS[self.verdicts[one.id].label]} {one.sentence}" for one in self.ledger)


def count(ledger: Sequence[Claim], verdicts: Mapping[str, Verdict]) -> dict[str, dict[str, int]]:
    """How many claims of each part of the page got each verdict."""
    found = {name: [verdicts[claim.id] for claim in ledger if part(claim) == name] for name in PARTS}
    return {name: claims.summary(some) for name, some in found.items() if some}


def verdict_bars(rows: Mapping[str, Mapping[str, int]]) -> Figure:
    """Stacked horizontal bars: for each kind of claim, how many got each verdict, with the numbers in the bars.

    Verdicts that no claim got are left out.
    """
    labels = [label for label in COLOURS if any(counts.get(label) for counts in rows.values())]
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.42 * len(rows)))
    left = np.zeros(len(rows))
    for label in labels:
        sizes = np.array([counts[label] for counts in rows.values()])
        bars = axes.barh(range(len(rows)), sizes, left=left, color=COLOURS[label], height=0.7, label=label)
        texts = [str(size) if size else "" for size in sizes]
        dark = label in (REPRODUCED, NOT, UNTESTABLE)
        axes.bar_label(bars, texts, label_type="center", fontsize=9, color="#ffffff" if dark else "#000000")
        left += sizes
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set(xlabel="claims")
    axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure
