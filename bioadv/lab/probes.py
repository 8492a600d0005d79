"""Measurements on a trained model of the study, kept beside it: what the book's paper-scale cells draw.

``run(folder, "spectra", data)`` measures and writes ``spectra.npz`` and, last, ``spectra.json`` into the run folder:
parameters, hash of the code, wall time, versions. What is finished is not measured again, unless the model was trained
again since.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bioadv.data import datasets, files, image_arrays
from bioadv.data.datasets import Dataset
from bioadv.lab import (
    hashing,
    probe_directions,
    probe_landscape,
    probe_paths,
    probe_perturbations,
    probe_referees,
    probe_spectra,
    processes,
    provenance,
    runner,
    runs,
    scales,
    study,
)
from bioadv.lab.runs import Run
from bioadv.network import kh_params, local_learning, models
from bioadv.network.models import TwoLayer

Arrays = dict[str, np.ndarray]
Tensor = torch.Tensor
Measure = Callable[[TwoLayer, Dataset, dict[str, Any], bool], Arrays]


@dataclass(frozen=True)
class Probe:
    """A kind of measurement.

    measure: (model, data, settings, progress) -> named arrays, or several such functions by name, for a long probe:
    what one of them has measured is not measured again after a crash; settings: everything that can move a number,
    JSON-able, kept in the manifest; layer: whether it looks at the hidden layer alone, so that one which nobody trains
    is made on the spot and needs no run.
    """

    title: str
    measure: Measure | Mapping[str, Measure]
    settings: dict[str, Any] = field(default_factory=dict)
    layer: bool = False

    @property
    def functions(self) -> dict[str, Measure]:
        """What is measured, by name; the name is empty for the only one."""
        return dict(self.measure) if isinstance(self.measure, Mapping) else {"": self.measure}


PROBES: dict[str, Probe] = {
    "spectra": Probe("covariance eigenspectra", probe_spectra.measure_spectra, probe_spectra.SPECTRA),
    "landscape": Probe("planes through test images", probe_landscape.measure_landscape, probe_landscape.LANDSCAPE),
    "referees": Probe("attacks of other people", probe_referees.measure_referees, probe_referees.REFEREES),
    "perturbations": Probe("critical perturbations", probe_perturbations.MEASURES, probe_perturbations.PERTURBATIONS),
    "pruning": Probe("pruning of a local layer", probe_spectra.measure_pruning, probe_spectra.PRUNING),
    "paths": Probe("readouts of all penalties", probe_paths.measure_paths, probe_paths.PATHS, layer=True),
    "ends": Probe("readouts of the weakest penalties", probe_paths.measure_ends, probe_paths.ENDS, layer=True),
    "directions": Probe(
        "along what is attacked", probe_directions.measure_directions, probe_directions.DIRECTIONS, layer=True
    ),
    "epochs": Probe("readouts along training", probe_paths.measure_epochs, probe_paths.EPOCHS),
}
SECONDS = "_seconds"  # in the file of a part
PIXELS = study.PIXELS
ATTACKS = ("perturbations", "referees")  # they change decisions, and so need a readout that was trained


def probe(name: str) -> Probe:
    """A probe by name; ``ValueError`` lists the known ones."""
    if name not in PROBES:
        raise ValueError(f"probe {name!r} is not known; choose from {', '.join(PROBES)}")
    return PROBES[name]


def run(folder: Path, name: str, data: Dataset, progress: bool = True) -> Path:
    """Measure the finished run in ``folder`` and return the probe's ``.npz``.

    Raises ``FileNotFoundError`` if the run is not finished, ``ValueError`` if the model was trained on other images or
    if the file there was measured with other settings, ``RuntimeError`` if another process measures it.
    """
    known = _measured(folder, name, data)
    if known:  # read, not written: a finished run may lie on a disk that is read-only
        return known
    with processes.alone(processes.run_lock(folder, name), f"{name} of {folder}"):
        return _measured(folder, name, data) or _measure(folder, name, data, progress)


def _measured(folder: Path, name: str, data: Dataset) -> Path | None:
    """The probe's ``.npz`` if it is there already, measured on this training."""
    configuration, training = _wanted(folder, name, data)
    file, about = folder / f"{name}.npz", folder / f"{name}.json"
    known = provenance.read_description(about) if about.is_file() else {}
    of, manifest = known.get("training"), provenance.read_manifest(folder)
    same = of == training or (manifest and provenance.is_of(of, manifest))
    if not (same and provenance.intact(about, file.name)):
        return None
    stored, wanted = known["configuration"], json.loads(json.dumps(provenance.describe_all(configuration)))
    changed = [key for key in wanted if stored.get(key) != wanted[key]]  # as it is read back: a tuple is a list then
    if changed:
        raise ValueError(f"{about} was measured with another {' and '.join(changed)}; remove it to measure again")
    return file


def _wanted(folder: Path, name: str, data: Dataset) -> tuple[dict[str, Any], str]:
    """The configuration of a measurement, and the identity of the training that is measured."""
    subject, training = _subject(folder, data, probe(name).layer)
    return {"probe": name, "settings": probe(name).settings, "run": subject}, training


def _measure(folder: Path, name: str, data: Dataset, progress: bool) -> Path:
    chosen, (configuration, training) = probe(name), _wanted(folder, name, data)
    if name in ATTACKS and "experiment" not in configuration["run"]:
        raise ValueError(f"probe {name} attacks decisions, and {folder} has no readout; give a trained model")
    if name == "pruning" and configuration["run"]["model"] == PIXELS:
        raise ValueError(
            f"probe {name} looks at units of a layer, and {folder} is of images alone; give a kh-layer run"
        )
    noise, inputs = chosen.settings.get("noise", 0), data.test.inputs
    units = inputs if configuration["run"]["model"] == PIXELS else 0
    needed = f"{name}: {noise} noise images and {units} units of {inputs} values"
    image_arrays.fits(needed, 4 * (noise + units) * inputs)
    file, about = folder / f"{name}.npz", folder / f"{name}.json"
    source = source_of(name, configuration["run"]["model"])
    identity = provenance.describe_all({**configuration, "training": training, "source": source})
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    model, arrays, parts, seconds = _model(folder, configuration["run"], data), Arrays(), [], 0.0
    for part, measure in chosen.functions.items():
        parts.append(folder / f".{name}-{part}-{digest}.npz")
        if not parts[-1].is_file():
            start = time.perf_counter()
            measured = measure(model, data, chosen.settings, progress)
            files.write_arrays(parts[-1], {**measured, SECONDS: np.array(time.perf_counter() - start)})
        part_arrays = files.read_arrays(parts[-1])
        seconds += float(part_arrays.pop(SECONDS))  # of every part, in whichever session it was measured
        arrays |= part_arrays
    described = {
        "configuration": provenance.describe_all(configuration),
        "seconds": round(seconds, 1),
        "source": source,
        "environment": provenance.environment(),
        "training": training,
    }
    provenance.write_measurement(about, arrays, **described)
    for part_file in parts:
        part_file.unlink()
    return file


def _subject(folder: Path, data: Dataset, layer: bool) -> tuple[dict[str, Any], str]:
    """The configuration of what is measured, and the identity of its training."""
    model, manifest = folder.parent.name, provenance.read_manifest(folder)
    if manifest is None and not needs_none(model, layer):
        raise FileNotFoundError(f"{folder} holds no finished run; train the model first, or let it finish")
    if manifest:
        runs.check_owner(folder / provenance.MANIFEST, manifest)
    configuration: dict[str, Any] = manifest["configuration"] if manifest else {"data": data.content_hash}
    if manifest and configuration["data"] != data.content_hash:
        raise ValueError(
            f"{folder} was trained on {manifest['dataset']} ({configuration['data'][:12]}), data is {data.name} "
            f"({data.content_hash[:12]}); give the images that it was trained on"
        )
    if needs_none(model, layer) and datasets.folder_name(data.name) != folder.parent.parent.name:
        raise ValueError(
            f"{folder} is for {folder.parent.parent.name}, data is {data.name}; give the images of that name"
        )
    if model == PIXELS and Run.at(folder).seed:
        raise ValueError(f"{folder}: images themselves have no seed; give {PIXELS}/seed-0")
    if model == PIXELS:
        return {"model": PIXELS, "data": data.content_hash}, provenance.UNTRAINED
    if needs_none(model, layer):
        return untrained_layer(model, Run.at(folder).seed, data), provenance.UNTRAINED
    return configuration, provenance.identity(manifest or {})


def _model(folder: Path, subject: dict[str, Any], data: Dataset) -> TwoLayer:
    """The model that is measured."""
    if subject["model"] == PIXELS:
        return of_pixels(data)
    if subject["model"] == study.LAYER:
        params = subject.get("layer")
        if not isinstance(params, dict) or not isinstance(params.get("p"), int | float):
            raise ValueError(f"{folder / provenance.MANIFEST} has no p of its layer; delete it and make it again")
        return of_layer(Run.at(folder).synapses(), params["p"], data)
    if "experiment" not in subject:
        return of_untrained(subject["model"], subject["seed"], data)
    return Run.at(folder).load()


def needs_none(model: str, layer: bool) -> bool:
    """Whether a model is measured without a training: the images themselves, and for a probe of the hidden layer alone
    (``layer``) one that nobody trains.
    """
    return model == PIXELS or (layer and untrained(model))


def untrained(model: str) -> bool:
    """Whether a model's hidden layer is one that nobody trains."""
    kind = study.EXPERIMENTS[model].kind if model in study.EXPERIMENTS else None
    return kind is not None and not kind.trained and study.EXPERIMENTS[model].hidden != "local"


def untrained_layer(model: str, seed: int, data: Dataset) -> dict[str, Any]:
    """The configuration of a hidden layer that nobody trains."""
    chosen, sizes = study.experiment(model), scales.scale(data).layer
    made = {"hidden": chosen.hidden, "power": chosen.power, "units": sizes.hidden, "p": sizes.p}
    return {"model": model, "seed": seed, "data": data.content_hash, **made}


def of_untrained(model: str, seed: int, data: Dataset) -> TwoLayer:
    """A hidden layer that nobody trains, with rows of length 1 where the study gives them a KH layer's; readout zero.

    The lengths make no difference to what is measured here: the readout makes up for them.
    """
    chosen, sizes, images = study.experiment(model), scales.scale(data).layer, datasets.unit_lp(data.train)
    network = TwoLayer(images.shape[1], sizes.hidden, len(data.train.classes), chosen.power)
    runner.initialise(network, chosen.kind, images, seed, sizes.p, models.unit_rows(network))
    network.readout.data.zero_()
    return network.eval()


def of_pixels(data: Dataset) -> TwoLayer:
    """The images themselves as a hidden layer, every pixel a unit; the readout is zero."""
    return _bare(torch.eye(data.test.inputs), 1.0, data)


def of_layer(synapses: Tensor, p: float, data: Dataset) -> TwoLayer:
    """A KH layer as it was trained, not pruned, with the activation of the paper's KH model; the readout is zero."""
    return _bare(local_learning.metric(synapses, p), kh_params.PAPER_POWER, data)


def _bare(hidden: Tensor, power: float, data: Dataset) -> TwoLayer:
    model = TwoLayer(hidden.shape[1], len(hidden), len(data.test.classes), power)
    with torch.no_grad():
        model.hidden.copy_(hidden)
    return model.eval()


def source_of(name: str, model: str = "") -> str:
    """Hash of the code that a probe measures with, from the model that it is given on.

    model: where the probe makes the layer itself, its own kind of rows counts as well, and no other.
    """
    alone = probe(name).layer and untrained(model)
    made: list[Callable[..., Any]] = [of_untrained, study.experiment(model).kind.weights] if alone else []
    return hashing.source_hash(*probe(name).functions.values(), of_pixels, of_layer, *made)
