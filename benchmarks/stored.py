"""What the stored runs of the published models took, from their manifests; nothing is run.

``python -m benchmarks stored`` writes its part of ``book/cost.md``, which is due when runs are added. They were made on
several processors, some beside other work: these are hours of a clock on the wall and no measure of speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import page
from bioadv.data.files import read_json
from bioadv.lab import runs, study

MODELS = (study.LAYER, *study.members("paper"))
PROBES = ("spectra", "perturbations", "landscape", "pruning", "paths")


def gathered() -> dict[str, dict[str, list[float]]]:
    """Seconds, by model, of the trainings (``manifest``) and probes of all seeds on CIFAR-10."""
    found = dict[str, dict[str, list[float]]]()
    for model in MODELS:
        trained = list(runs.at_hand(model).values())
        parts = {part: [one.measured(part) for one in trained] for part in ("manifest", *PROBES)}
        found[model] = {
            part: [float(read_json(path)["seconds"]) for path in paths if path.exists()]
            for part, paths in parts.items()
        }
    return found


def table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """What the page shows: of each model the range of hours of its trainings, and minutes of its probes, median."""
    rows = ["| stored runs | seeds | training, hours | probes, minutes |", "|---|---|---|---|"]
    found = {model: parts for model, parts in found.items() if parts["manifest"]}
    for model, parts in found.items():
        hours = np.divide(parts["manifest"], 3600)
        ends = dict.fromkeys(f"{value:.2f}" for value in (hours.min(), hours.max()))
        minutes = sum(float(np.median(parts[probe])) for probe in PROBES if parts[probe]) / 60
        rows.append(f"| {study.title(model)} | {len(hours)} | {' to '.join(ends)} | {minutes:.0f} |")
    each: Any = [np.median(parts["manifest"]) for parts in found.values()]
    rows += ["", f"One seed of all of them, at the median of each: {sum(each) / 3600:.1f} hours of training."]
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write the part of the page."""
    page.write("stored", table(gathered()))
