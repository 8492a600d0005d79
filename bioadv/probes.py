"""Measurements on a trained model of the study, kept beside it: what the book's paper-scale cells draw.

``run(folder, "spectra", data)`` measures and writes ``spectra.npz`` and, last, ``spectra.json`` into the run folder:
parameters, hash of the code, wall time, versions. What is finished is not measured again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bioadv import provenance, results, study
from bioadv.datasets import Dataset
from bioadv.models import TwoLayer

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Probe:
    """A kind of measurement.

    measure: (model, data, settings, progress) -> named arrays; settings: everything that can move a number, JSON-able,
    kept in the manifest.
    """

    title: str
    measure: Callable[[TwoLayer, Dataset, dict[str, Any], bool], Arrays]
    settings: dict[str, Any] = field(default_factory=dict)


PROBES: dict[str, Probe] = {}


def probe(name: str) -> Probe:
    """A probe by name; ``ValueError`` lists the known ones."""
    if name not in PROBES:
        raise ValueError(f"probe {name!r} is not known; choose from {', '.join(PROBES)}")
    return PROBES[name]


def run(folder: Path, name: str, data: Dataset, progress: bool = True) -> Path:
    """Measure the finished run in ``folder`` and return the probe's ``.npz``.

    Raises ``FileNotFoundError`` if the run is not finished, ``ValueError`` if the model was trained on other images or
    if the file there was measured with other settings.
    """
    chosen = probe(name)
    manifest = provenance.read_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"{folder} holds no finished run; train the model first, or let it finish")
    trained_on = manifest["configuration"]["data"]
    if trained_on != data.content_hash:
        raise ValueError(
            f"{folder} was trained on {manifest['dataset']} ({trained_on[:12]}), data is {data.name} "
            f"({data.content_hash[:12]}); give the images that it was trained on"
        )
    configuration = {"probe": name, "settings": chosen.settings, "run": manifest["configuration"]}
    file, about = folder / f"{name}.npz", folder / f"{name}.json"
    if about.is_file():
        stored = results.read_json(about)["configuration"]
        wanted = provenance.describe_all(configuration)
        if stored == wanted:
            return file
        changed = [key for key in wanted if stored.get(key) != wanted[key]]
        raise ValueError(f"{about} was measured with another {' and '.join(changed)}; remove it to measure again")
    start, source = time.perf_counter(), provenance.source_hash(chosen.measure)
    arrays = chosen.measure(study.load_model(folder), data, chosen.settings, progress)
    results.write_arrays(file, arrays)
    results.write_json(
        about,
        {
            "configuration": provenance.describe_all(configuration),
            "seconds": round(time.perf_counter() - start, 1),
            "source": source,
            "environment": results.versions(),
        },
    )
    return file
