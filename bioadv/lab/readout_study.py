"""Which paths of readouts there are, and making them: ``bioadv readouts`` and ``make paper CONFIG=readouts``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bioadv.data import datasets, files
from bioadv.data.datasets import Dataset
from bioadv.lab import probes, runs, small_paths, statistics, study
from bioadv.lab.runs import Run
from bioadv.network import readout, streams

Arrays = Mapping[str, np.ndarray]
SCALES = ("small", "paper")
SEEDS = (0, 1, 2)
ALONE = tuple(name for name in study.EXPERIMENTS if probes.untrained(name) and name != "random-constant")
ALONG = {"small": ("kh",), "paper": ("kh",)}  # with the paper's own training, of up to 10,000 epochs, as well
FURTHER: dict[str, tuple[str, ...]] = {"small": ("directions",), "paper": ("ends", "directions")}


def names(scale: str) -> tuple[str, ...]:
    """The models of a scale; ``ValueError`` for an unknown one."""
    if scale not in SCALES:
        raise ValueError(f"scale = {scale!r} is not known; choose from {', '.join(SCALES)}")
    if scale == "small":
        return tuple(study.members("small"))
    return *ALONE, *(name for name in study.members("paths") if name not in ALONE)


def selection(scales: Sequence[str], models: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Of each scale the models that were asked for, by default all; those that only another scale has are left out.

    ``ValueError`` for an unknown scale, or a model that none of them has.
    """
    known = {scale: names(scale) for scale in scales}
    everywhere = list(dict.fromkeys(model for found in known.values() for model in found))
    for model in models or ():
        if model not in everywhere:
            raise ValueError(
                f"model = {model!r} has no path at scale {' or '.join(scales)}; choose from {', '.join(everywhere)}"
            )
    return {scale: [model for model in models or found if model in found] for scale, found in known.items()}


def stored(probe: str, scale: str = "small", models: Sequence[str] | None = None) -> dict[str, list[Arrays]]:
    """Arrays of a probe of readouts on CIFAR-10 by model, one for each seed that is stored; KH first.

    models: default: all of the scale that have any.
    """
    root = statistics.folder(scale, "cifar10")
    wanted = sorted(names(scale) if models is None else models, key=lambda name: name != "kh")
    found = {name: runs.in_folder(root, name, f"{probe}.json").values() for name in wanted}
    return {name: [run.arrays(probe) for run in some] for name, some in found.items() if some}


def unfinished(file: Path) -> list[str]:
    """A line for every readout of a path of penalties, ``paths.npz``, that did not converge, with its gradient."""
    found = files.read_arrays(file)
    places = zip(found["place"], found["gradient"], strict=True) if "gradient" in found else ()
    return [
        f"{file}: the readout of penalty {penalty:g} has not converged, the largest entry of its gradient is "
        f"{gradient:.1e} and not below {readout.TOLERANCE:g}; its numbers are those of the last step"
        for penalty, gradient in places
        if gradient > readout.TOLERANCE
    ]


def make(
    scale: str, data: Dataset, out: Path, models: Sequence[str] | None = None, seeds: Sequence[int] | None = None
) -> Iterator[Path]:
    """Measure models with all seeds and give the files; what is finished is left alone.

    At the paper's scale a model that has to be trained before, and whose weights are not here, is left out with a word
    on stderr. Raises ``ValueError`` for an unknown scale or model, or a seed that no run can have.
    """
    known = names(scale)
    for model in models or ():
        if model not in known:
            raise ValueError(f"model = {model!r} has no path at this scale; choose from {', '.join(known)}")
    for seed in seeds or ():
        streams.pick(streams.START, seed)  # all of them before any work
    for seed in seeds or SEEDS:
        for model in known if models is None else models:
            for probe in ("paths", *FURTHER[scale], *(["epochs"] if model in ALONG[scale] else [])):
                if scale == "small":
                    yield small_paths.make(model, seed, data, out, probe)
                    continue
                run = Run(datasets.results_folder(out, data.name), model, seed)
                measured = (run.folder / f"{probe}.json").is_file()
                if measured or model in ALONE or run.weights.is_file():
                    yield probes.run(run.folder, probe, data)
                    continue
                print(f"{run.folder}: left out, its weights are not here; train it first", file=sys.stderr)
                break
