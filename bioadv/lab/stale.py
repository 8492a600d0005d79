"""Stored results that the code of today would not make: which they are, and why.

A result is current if it was made with the parameters that the registry holds today and with the code of today, by its
source hash. A hash that differs makes it stale, unless ``accepted.json`` in the root of the results says that this
change of the code moves no number, with a reason (see :mod:`bioadv.lab.accept`).
"""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bioadv.data import datasets, files, variants
from bioadv.data.datasets import Dataset, Images
from bioadv.lab import alone, jobs, layers, probes, provenance, runner, runs, small_paths, study

ACCEPTED = "accepted.json"
ROOT = Path("results")
STAND_IN = "stand-in"


@dataclass(frozen=True)
class Fault:
    """Why a stored result is not current: its file and what differs, and, if it is the code, hashes and root."""

    file: Path
    what: str
    old: str = ""
    new: str = ""
    root: Path = ROOT

    def __str__(self) -> str:
        """The file, what is wrong, and what to do."""
        remedy = f"remove {self.file} to make it again"
        if self.new:
            root = [] if self.root == ROOT else [f"--root={self.root}"]
            command = shlex.join(["python", "-m", "bioadv.lab.accept", *root])
            remedy += (
                ", or, if the change of the code cannot move its numbers, "
                f'{command} --reason "..." -- {shlex.quote(str(self.file.parent))}'
            )
        return f"{self.file} {self.what}; {remedy}"


def stored(root: Path) -> list[Path]:
    """Everything in or below ``root`` that describes a result: manifests of runs, and the probes' files beside them."""
    return sorted(path for path in root.rglob("*.json") if runs.is_run(path.parent))


def faults(file: Path, root: Path, data: Dataset, epochs: int | None = None) -> list[Fault]:
    """Why the result described by ``file``, below the results' root, is not what the code would make today.

    data: the images of the study, or :func:`stand_in` where they are absent; then only their name counts. epochs:
    other than the scale's, as given to ``bioadv train``.
    """
    about = provenance.read_description(file)
    if file.name == provenance.MANIFEST:
        wanted, source, found = _train(file, about["configuration"], data, epochs)
    elif "alone" in about["configuration"]:
        wanted, source, found = _alone(file, about["configuration"], data)
    elif "small" in about["configuration"]:
        wanted, source, found = _small(file, about["configuration"], data)
    else:
        wanted, source, found = _probe(file, about["configuration"], data, epochs)
        manifest = provenance.read_manifest(file.parent)
        if manifest and not provenance.is_of(about.get("training"), manifest):
            found.append(Fault(file, "was measured on another training of the model"))
        if not file.with_suffix(".npz").is_file():
            found.append(Fault(file, f"has lost its arrays, {file.stem}.npz"))
    if not {"alone", "small"} & about["configuration"].keys():  # these compare more than model and seed
        found += _elsewhere(file, about)
    if not wanted:
        return found
    have = about["configuration"]
    if data.train.name == STAND_IN:
        wanted, have = _without_images(wanted), _without_images(have)
    found += [
        Fault(file, f"was made with {key} = {before}, today it is {today}")
        for key, (before, today) in provenance.differences(have, wanted).items()
    ]
    old = about["source"]
    if not same_code(old, source, root):
        found.append(Fault(file, f"was made by other code ({old[:8]}, today {source[:8]})", old, source, root))
    return found


def _elsewhere(file: Path, about: dict[str, Any]) -> list[Fault]:
    """A fault if a result is of another run than that in whose folder it lies."""
    try:
        runs.check_owner(file, about)
    except ValueError as error:
        return [Fault(file, str(error).removeprefix(f"{file} ").split(";")[0])]
    return []


def _train(
    file: Path, have: dict[str, Any], data: Dataset, epochs: int | None
) -> tuple[dict[str, Any], str, list[Fault]]:
    """Configuration and source hash that a training has today, or a fault if there is no such model any more."""
    if have["model"] not in (study.LAYER, *study.EXPERIMENTS):
        return {}, "", [Fault(file, f"is of the model {have['model']!r}, which is not known today")]
    wanted = jobs.configuration(have["model"], data, have["seed"], epochs)
    for key in ("dtype", jobs.SCREENED):  # how it was computed: not a matter of the registry
        if key in have:
            wanted[key] = have[key]
    return provenance.describe_all(wanted), _source(have["model"], have.get(jobs.SCREENED, False)), []


def _probe(
    file: Path, have: dict[str, Any], data: Dataset, epochs: int | None
) -> tuple[dict[str, Any], str, list[Fault]]:
    """Configuration and source hash that a measurement has today, or a fault if there is no such probe any more."""
    name = have["probe"]
    if name not in probes.PROBES:
        return {}, "", [Fault(file, f"is of the probe {name!r}, which is not known today")]
    run = have["run"]
    if run["model"] == probes.PIXELS:
        run = {"model": probes.PIXELS, "data": data.content_hash}
    elif "experiment" not in run and probes.untrained(run["model"]):
        run = probes.untrained_layer(run["model"], run["seed"], data)
    else:
        run, _, unknown = _train(file, run, data, epochs)
        if unknown:
            return {}, "", unknown
    wanted = {"probe": name, "settings": probes.PROBES[name].settings, "run": run}
    return provenance.describe_all(wanted), _probe_source(name, run["model"]), []


def _alone(file: Path, have: dict[str, Any], data: Dataset) -> tuple[dict[str, Any], str, list[Fault]]:
    """The same of a hidden layer alone."""
    scale, images, name, seed = (have.get(key, "") for key in ("scale", "images", "layer", "seed"))
    try:
        wanted = alone.configuration(scale, images, name, seed) | {"data": data.content_hash}
    except ValueError as error:
        return {}, "", [Fault(file, f"is of a layer that is not known today: {error}")]
    own = (scale, images, name, runs.named(seed))
    found = [] if file.parts[-5:-1] == own else [Fault(file, f"is of the layer {'/'.join(own)}")]
    if not file.with_suffix(".npz").is_file():
        found.append(Fault(file, f"has lost its arrays, {file.stem}.npz"))
    return provenance.describe_all(wanted), _layers_source(alone.layer(scale, images, name).kind), found


def _small(file: Path, have: dict[str, Any], data: Dataset) -> tuple[dict[str, Any], str, list[Fault]]:
    """The same of a path of readouts at small scale."""
    probe, model, seed = (have.get(key, "") for key in ("small", "model", "seed"))
    try:
        wanted = small_paths.configuration(model, seed, data, probe)
    except ValueError as error:
        return {}, "", [Fault(file, f"is of a path that is not known today: {error}")]
    own = (small_paths.SCALE, model, runs.named(seed), f"{probe}.json")
    found = [] if (file.parts[-5], *file.parts[-3:]) == own else [Fault(file, f"is of {'/'.join(own)}")]
    if not file.with_suffix(".npz").is_file():
        found.append(Fault(file, f"has lost its arrays, {file.stem}.npz"))
    return provenance.describe_all(wanted), _small_source(probe, model), found


@functools.cache
def _small_source(probe: str, model: str) -> str:
    return small_paths.source_of(probe, model)


@functools.cache
def _layers_source(kind: str) -> str:
    return layers.source_of(kind)


@functools.cache
def _source(name: str, screened: bool) -> str:
    return runner.source_of(name, screened)


@functools.cache
def _probe_source(name: str, model: str) -> str:
    return probes.source_of(name, model)


def _without_images(configuration: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_images(value) if key == "run" else value for key, value in configuration.items() if key != "data"
    }


def accepted(root: Path) -> list[dict[str, str]]:
    """What was accepted below ``root``: hashes old and new, date, reason, and a result that it was accepted for."""
    path = root / ACCEPTED
    entries: list[dict[str, str]] = files.read_json(path) if path.is_file() else []
    if not isinstance(entries, list):
        raise ValueError(f"{path} is not a JSON list; restore it from git")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not all(entry.get(key) for key in ("old", "new", "date", "reason", "result")):
            raise ValueError(f"{path}: entry {number} lacks old, new, date, reason or result; complete or remove it")
    return entries


def same_code(old: str, new: str, root: Path) -> bool:
    """Whether two hashes are equal, or accepted changes lead from the one to the other."""
    steps, reached, pending = accepted(root), {old}, [old]
    while pending and new not in reached:
        here = pending.pop()
        further = {entry["new"] for entry in steps if entry["old"] == here} - reached
        reached |= further
        pending += further
    return new in reached


def stand_in(name: str) -> Dataset:
    """A dataset of that name without its images, for what depends on the name alone.

    That of the photo patches, which are always here, has as many images as they: the sizes of a study follow from it.
    """
    if name == "photo-patches":
        whole = _loaded(name)
        return Dataset(name, replace(whole.train, name=STAND_IN), replace(whole.test, name=STAND_IN))
    image = Images(np.ones((2, 1, 1, 1), np.uint8), np.array([0, 1]), ("a", "b"), STAND_IN)
    return Dataset(name, image, image)


def data_of(file: Path) -> Dataset:
    """The images that a result was made with; of the well-known ones only the name is needed."""
    manifest = provenance.read_manifest(file.parent) or _beside(file)
    name = manifest["dataset"] if manifest else variants.base(file.parent.parent.parent.name)
    return stand_in(name) if name in datasets.KNOWN else _loaded(name)


def _beside(file: Path) -> dict[str, Any] | None:
    """The manifest of another run on the same images: where nothing was trained, it knows where these lie."""
    others = sorted(file.parents[2].glob(f"*/{runs.named('*')}/{provenance.MANIFEST}"))
    return provenance.read_manifest(others[0].parent) if others else None


@functools.cache
def _loaded(name: str) -> Dataset:
    return datasets.load(name)
