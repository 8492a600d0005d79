"""The ledger: what the paper claims, what our runs say, and a verdict that a rule computes from them.

``book/claims.yaml`` states the claims and their rules; no result has changed a rule. Verdicts follow from the
files in ``results/`` alone. Below three seeds a verdict says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bioadv.data import files
from bioadv.lab.runs import ROOT, paper, stored
from bioadv.measure import powerlaw

LEDGER = ROOT / "book" / "claims.yaml"
REPRODUCED, IN_PART, NOT = "reproduced", "reproduced in part", "not reproduced"
UNTESTABLE, UNMEASURED = "not testable", "not measured yet"
KINDS = ("close", "order", "at least", "at most", "untestable")
ENOUGH = 3  # seeds; with fewer, a verdict is about those seeds and says how many


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    id; text: the claim in our words; where: where it stands; rule: one of ``KINDS``; statistics: names in
    ``STATISTICS``; models: one, or for ``order`` several, the largest first; value: the paper's number or the bound;
    tolerance: what counts as agreement, in the unit of the statistic; figure: ``page#label`` that shows it; why: one
    sentence on what stands behind the verdict.
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
    why: str = ""

    @property
    def sentence(self) -> str:
        """The text with the paper's value in its place."""
        return self.text.format(value=self.value)

    def __post_init__(self) -> None:
        if self.rule not in KINDS:
            raise ValueError(f"claim {self.id!r}: rule = {self.rule!r} is not known; choose from {', '.join(KINDS)}")
        unknown = sorted(set(self.statistics) - set(STATISTICS))
        if unknown:
            raise ValueError(f"claim {self.id!r}: statistic {unknown[0]!r} is not known; see {', '.join(STATISTICS)}")
        if self.rule != "untestable" and not (self.statistics and self.models):
            raise ValueError(f"claim {self.id!r}: give the statistics and models that rule {self.rule!r} compares")
        if self.rule in ("close", "at least", "at most") and self.value is None:
            raise ValueError(f"claim {self.id!r}: give the value that rule {self.rule!r} compares with")
        if self.rule == "close" and not (self.tolerance or 0) > 0:
            raise ValueError(f"claim {self.id!r}: tolerance = {self.tolerance}; give what counts as agreement, > 0")


@dataclass(frozen=True)
class Verdict:
    """What our runs say of a claim: a label, the number of seeds behind it, and per seed what was measured."""

    label: str
    seeds: int = 0
    values: dict[str, list[float]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The label, and the number of seeds where there are too few."""
        counted = {1: ", one seed only", 2: ", two seeds only"}
        return self.label + counted.get(self.seeds, "")


def read(path: Path = LEDGER) -> list[Claim]:
    """The claims in the order of the file; ``ValueError`` names the claim that is not well formed."""
    claims, numbers = [], paper()
    for entry in yaml.safe_load(path.read_text()):
        if isinstance(entry.get("value"), str):
            entry["value"] = _looked_up(numbers, entry["value"])
        if "relative" in entry:
            entry["tolerance"] = entry.pop("relative") * entry["value"]
        plural = {key: tuple(value) for key, value in entry.items() if key in ("statistics", "models")}
        try:
            claims.append(Claim(**{**entry, **plural}))
        except TypeError as error:
            raise ValueError(f"claim {entry.get('id')!r} in {path} is not well formed ({error})") from error
    twice = {claim.id for claim in claims if sum(other.id == claim.id for other in claims) > 1}
    if twice:
        raise ValueError(f"{path} has two claims with id {sorted(twice)[0]!r}; give each its own")
    return claims


def _looked_up(numbers: Any, path: str) -> float:
    """A number of ``paper.yaml`` by its dotted path; ``ValueError`` if there is none."""
    found = numbers
    for key in path.split("."):
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(f"value {path!r} is not in paper.yaml (at {key!r}); correct one of the two") from error
    return float(found)


def _log(folder: Path, name: str) -> float:
    return float(files.read_arrays(folder / "log.npz")[name][-1])


def _alpha(folder: Path, name: str, window: tuple[int, int]) -> float:
    return powerlaw.fit(files.read_arrays(folder / "spectra.npz")[name], window).alpha


def _reach(folder: Path) -> float:
    spectrum = files.read_arrays(folder / "spectra.npz")["images_before"]
    return powerlaw.reach(spectrum, powerlaw.fit(spectrum))


def _median(folder: Path, attack: str) -> float:
    return float(np.nanmedian(files.read_arrays(folder / "perturbations.npz")[f"{attack}_norm"]))


def _plane(folder: Path, name: str) -> float:
    """Median over images, random planes of the paper's radius."""
    return float(np.median(files.read_arrays(folder / "landscape.npz")[name][1, 0]))


def _pruning(folder: Path, first: int, last: int) -> float:
    """Largest |ln| of the ratio of eigenvalues, unpruned over pruned by the threshold, over a window of ranks."""
    found = files.read_arrays(folder / "pruning.npz")
    raw, pruned = (found[f"images_{name}"][first - 1 : last] for name in ("raw", "threshold"))
    return float(np.abs(np.log(raw / pruned)).max())


# By name: the file that a run must have, and the number that a run folder gives.
STATISTICS: dict[str, tuple[str, Callable[[Path], float]]] = {
    "accuracy": ("manifest.json", lambda run: float(files.read_json(run / "manifest.json")["accuracy"]["test"])),
    "jacobian": ("manifest.json", lambda run: _log(run, "jacobian")),
    "exponent, images": ("spectra.json", lambda run: _alpha(run, "images_before", powerlaw.IMAGES)),
    "exponent, images, after activation": ("spectra.json", lambda run: _alpha(run, "images_after", powerlaw.IMAGES)),
    "exponent, noise": ("spectra.json", lambda run: _alpha(run, "noise_before", powerlaw.NOISE)),
    "end of the power law": ("spectra.json", _reach),
    "critical norm, noise": ("perturbations.json", lambda run: _median(run, "noise")),
    "critical norm, FGSM": ("perturbations.json", lambda run: _median(run, "fgsm")),
    "critical norm, PGD": ("perturbations.json", lambda run: _median(run, "pgd")),
    "plane Jacobian, lowest": ("landscape.json", lambda run: _plane(run, "low")),
    "plane Jacobian, highest": ("landscape.json", lambda run: _plane(run, "high")),
    "regions in the plane": ("landscape.json", lambda run: _plane(run, "regions")),
    "pruned units": (
        "pruning.json",
        lambda run: float(files.read_arrays(run / "pruning.npz")["pruned"][1].sum()),
    ),
    "change by pruning, ranks 1 to 10": ("pruning.json", lambda run: _pruning(run, 1, 10)),
    "change by pruning, ranks 100 to 500": ("pruning.json", lambda run: _pruning(run, 100, 500)),
}


def measured(statistic: str, model: str, data: str = "cifar10") -> dict[int, float]:
    """A statistic of a model by seed, for the runs at hand."""
    file, function = STATISTICS[statistic]
    return {seed: function(run) for seed, run in stored(model, file, data).items()}


def judge(claim: Claim, data: str = "cifar10") -> Verdict:
    """Apply a claim's rule to the runs at hand.

    ``close``: the mean over seeds is within the tolerance of the paper's value (in part: within three tolerances).
    ``order``: in every seed the statistic falls from each model to the next (in part: in half of all comparisons of
    neighbours). ``at least``, ``at most``: every seed is on the right side (in part: half of them).
    """
    if claim.rule == "untestable":
        return Verdict(UNTESTABLE)
    table = {name: [measured(name, model, data) for model in claim.models] for name in claim.statistics}
    common = set.intersection(*(set(by_seed) for columns in table.values() for by_seed in columns))
    if not common:
        return Verdict(UNMEASURED)
    seeds = sorted(common)
    names = [f"{name}, {model}" for name in claim.statistics for model in claim.models]
    columns = [[by_seed[seed] for seed in seeds] for found in table.values() for by_seed in found]
    return Verdict(_label(claim, columns), len(seeds), dict(zip(names, columns, strict=True)))


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


def summary(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many claims got each label, the label without its number of seeds."""
    labels = (REPRODUCED, IN_PART, NOT, UNTESTABLE, UNMEASURED)
    return {label: sum(verdict.label == label for verdict in verdicts) for label in labels}
