"""The ledger: what the paper claims, what our runs say, and a verdict that a rule computes from them.

``book/claims.yaml`` states the claims and their rules; no result has changed a rule. Verdicts follow from the
files in ``results/`` alone. Below three seeds a verdict says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bioadv.data import shipped
from bioadv.lab import study, yaml_files
from bioadv.lab.numbers import STATISTICS, measured
from bioadv.lab.runs import paper
from bioadv.lab.schemas import ClaimEntry

LEDGER = shipped.folder("book") / "claims.yaml"
REPRODUCED, IN_PART, NOT = "reproduced", "reproduced in part", "not reproduced"
UNTESTABLE, UNMEASURED = "not testable", "not measured yet"
KINDS = ("close", "order", "at least", "at most", "untestable")


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    id; text: the claim in our words; where: where it stands; rule: one of ``KINDS``; statistics: names in
    ``bioadv.lab.numbers.STATISTICS``; models: one, or for ``order`` several, the largest first; value: the paper's
    number or the bound; tolerance: what counts as agreement, in the unit of the statistic; reading: whether this is not
    the authors' own statement but a reading, ours or a public summary's, of their words or figures; figure:
    ``page#label`` that shows it; why: what stands behind the verdict; controls: what is shown beside it and decides
    nothing, by its name a statistic and a model.
    """

    id: str
    text: str
    where: str
    rule: str
    figure: str
    statistics: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    value: float | None = None
    tolerance: float | None = None
    reading: bool = False
    why: str = ""
    controls: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The text with the paper's value in its place."""
        return self.text.format(value=self.value)

    def __post_init__(self) -> None:
        if self.rule not in KINDS:
            raise ValueError(f"claim {self.id!r}: rule = {self.rule!r} is not known; choose from {', '.join(KINDS)}")
        unknown = sorted({*self.statistics, *(name for name, _ in self.controls.values())} - set(STATISTICS))
        if unknown:
            raise ValueError(f"claim {self.id!r}: statistic {unknown[0]!r} is not known; see {', '.join(STATISTICS)}")
        if self.rule != "untestable" and not (self.statistics and self.models):
            raise ValueError(f"claim {self.id!r}: give the statistics and models that rule {self.rule!r} compares")
        if self.rule in ("close", "at least", "at most") and self.value is None:
            raise ValueError(f"claim {self.id!r}: give the value that rule {self.rule!r} compares with")
        if self.rule == "order" and len(self.models) < 2:
            raise ValueError(
                f"claim {self.id!r}: models = {self.models}; give the two or more that rule 'order' compares"
            )
        if self.rule != "close" and self.tolerance is not None:
            raise ValueError(f"claim {self.id!r}: tolerance = {self.tolerance} is for rule 'close'; leave it out")
        if study.LAYER in self.models and {"accuracy", "jacobian"} & set(self.statistics):
            raise ValueError(f"claim {self.id!r}: {study.LAYER} is a layer without a readout; give a model")
        if self.rule == "close" and not (self.tolerance or 0) > 0:
            raise ValueError(f"claim {self.id!r}: tolerance = {self.tolerance}; give what counts as agreement, > 0")


@dataclass(frozen=True)
class Verdict:
    """What our runs say of a claim: a label, the number of seeds behind it, and per seed what was measured.

    divided: the seeds, taken one by one, do not all have one label; controls: what was measured of each, by seed.
    """

    label: str
    seeds: int = 0
    values: dict[str, list[float]] = field(default_factory=dict)
    divided: bool = False
    controls: dict[str, list[float]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The label, and the number of seeds where there are too few."""
        counted = {1: ", one seed only", 2: ", two seeds only"}
        return self.label + counted.get(self.seeds, "")


def read(path: Path = LEDGER) -> list[Claim]:
    """The claims in the order of the file; ``ValueError`` names the file and the claim that is not well formed."""
    listed = yaml_files.read(path)
    if not isinstance(listed, list):
        raise ValueError(f"{path} is not a list of claims; begin each with '- id: ...'")
    claims, numbers = list[Claim](), paper()
    for number, given in enumerate(listed, 1):
        label = given.get("id", number) if isinstance(given, dict) else number
        try:
            claims.append(_claim(yaml_files.check(ClaimEntry, given, f"{path}: claim {label!r}"), numbers))
        except ValueError as error:
            raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    twice = {claim.id for claim in claims if sum(other.id == claim.id for other in claims) > 1}
    if twice:
        raise ValueError(f"{path} has two claims with id {sorted(twice)[0]!r}; give each its own")
    return claims


def _claim(entry: ClaimEntry, numbers: Any) -> Claim:
    """A claim with the paper's numbers in place of their names; ``ValueError`` names the claim."""
    for model in (*entry.models, *(model for _, model in entry.controls.values())):
        if model not in (study.LAYER, study.PIXELS):
            try:
                study.experiment(model)
            except ValueError as error:
                raise ValueError(f"claim {entry.id!r}: {error}") from None
    given = entry.model_dump(exclude={"relative"})
    controls = {name: (statistic, model) for name, (statistic, model) in entry.controls.items()}
    if isinstance(entry.value, str):
        given["value"] = _looked_up(numbers, entry.value)
    if entry.relative is not None:
        if given["value"] is None:
            raise ValueError(f"claim {entry.id!r}: relative = {entry.relative}; give the value that it is a share of")
        if entry.tolerance is not None:
            raise ValueError(f"claim {entry.id!r}: relative = {entry.relative} and tolerance; give one of them")
        given["tolerance"] = entry.relative * abs(given["value"])
    return Claim(
        **{**given, "statistics": tuple(entry.statistics), "models": tuple(entry.models), "controls": controls}
    )


def _looked_up(numbers: Any, path: str) -> float:
    """A number of ``paper.yaml`` by its dotted path; ``ValueError`` if there is none."""
    found = numbers
    for key in path.split("."):
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(f"value {path!r} is not in paper.yaml (at {key!r}); correct one of the two") from error
    return float(found)


def judge(claim: Claim, data: str = "cifar10") -> Verdict:
    """Apply a claim's rule to the runs at hand.

    ``close``: the mean over seeds is within the tolerance of the paper's value (in part: within three tolerances).
    ``order``: in every seed the statistic falls from each model to the next (in part: in half of all comparisons of
    neighbours). ``at least``, ``at most``: every seed is on the right side (in part: half of them). A number of the
    images themselves rests on no training: its verdict has no seeds.
    """
    if claim.rule == "untestable":
        return Verdict(UNTESTABLE)
    table = {name: [measured(name, model, data) for model in claim.models] for name in claim.statistics}
    common = set.intersection(*(set(by_seed) for columns in table.values() for by_seed in columns))
    if not common:
        return Verdict(UNMEASURED)
    seeds = sorted(common)
    trained = 0 if claim.models == (study.PIXELS,) else len(seeds)
    names = [f"{name}, {model}" for name in claim.statistics for model in claim.models]
    columns = [[by_seed[seed] for seed in seeds] for found in table.values() for by_seed in found]
    alone = {_label(claim, [[column[i]] for column in columns]) for i in range(len(seeds))}
    values = dict(zip(names, columns, strict=True))
    beside = {name: list(measured(what, of, data).values()) for name, (what, of) in claim.controls.items()}
    return Verdict(_label(claim, columns), trained, values, len(alone) > 1, {k: v for k, v in beside.items() if v})


def _label(claim: Claim, columns: Sequence[Sequence[float]]) -> str:
    if claim.rule == "close" and claim.value is not None and claim.tolerance is not None:
        gap = max(abs(float(np.mean(column)) - claim.value) for column in columns)
        return REPRODUCED if gap <= claim.tolerance else IN_PART if gap <= 3 * claim.tolerance else NOT
    if claim.rule == "order":
        width = len(claim.models)
        blocks = (columns[i : i + width] for i in range(0, len(columns), width))
        held = [
            a > b
            for block in blocks
            for upper, lower in itertools.pairwise(block)
            for a, b in zip(upper, lower, strict=True)
        ]
    else:
        sign = 1 if claim.rule == "at least" else -1
        held = [sign * (value - (claim.value or 0.0)) >= 0 for column in columns for value in column]
    return REPRODUCED if all(held) else IN_PART if np.mean(held) >= 0.5 else NOT


def papers(ledger: Sequence[Claim]) -> list[Claim]:
    """The claims that are the authors' own, without readings of their words and figures."""
    return [claim for claim in ledger if not claim.reading]


def summary(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many claims got each label, the label without its number of seeds."""
    labels = (REPRODUCED, IN_PART, NOT, UNTESTABLE, UNMEASURED)
    return {label: sum(verdict.label == label for verdict in verdicts) for label in labels}
