"""Probes of readouts at small scale: 100 units, ten thousand images of CIFAR-10, a minute a model.

What KH's robustness owes to its layer and what to its readout needs KH layers and networks trained by backpropagation,
whose weights git does not keep. So each is trained here, small, measured, and forgotten: KH by 20,000 steps of the
local rule and not pruned, the others by the live cells' training. Layers that nobody trains have rows of one length. A
hundred units are as many as reach their norm in that time: of 400, after 10,000 steps, seven in eight are still noise.
A run is a folder ``OUT/small/cifar10/MODEL/seed-S`` with ``paths.npz`` and, written last, ``paths.json`` (or
``epochs``); one that was killed is made again from its start and comes out the same.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bioadv.data import datasets
from bioadv.data.datasets import Dataset
from bioadv.lab import hashing, live, probe_directions, probe_paths, processes, provenance, runner, study
from bioadv.lab.runs import Run
from bioadv.lab.scales import Scale
from bioadv.network import layer_health, local_learning, models
from bioadv.network.kh_params import KHParams
from bioadv.network.models import TwoLayer

SCALE, IMAGES = "small", 10_000
SIZES = Scale(KHParams(hidden=100, delta=0.2, batch=100, epochs=200), epochs=50, batch=200)
PROBES = {
    "paths": (probe_paths.measure_paths, probe_paths.PATHS),
    "directions": (probe_directions.measure_directions, probe_directions.DIRECTIONS),
    "epochs": (probe_paths.measure_epochs, {**probe_paths.EPOCHS, "epochs": [1, 10, 100, 1000]}),
}


def make(model: str, seed: int, data: Dataset, out: Path, probe: str = "paths", progress: bool = True) -> Path:
    """Train a model at small scale and measure it; returns the ``.npz``, which is left alone if it is there.

    data: CIFAR-10, of which the first ten thousand training images are used, and all test images. Raises ``ValueError``
    for an unknown model or probe, or for a file that was made with other parameters.
    """
    wanted, run = (
        configuration(model, seed, data, probe),
        Run(datasets.results_folder(out / SCALE, data.name), model, seed),
    )
    file, about = run.folder / f"{probe}.npz", run.folder / f"{probe}.json"
    if provenance.made(about, wanted):
        return file
    with processes.alone(processes.run_lock(run.folder, probe), str(file)):
        if provenance.made(about, wanted):  # by another process, in between
            return file
        source, start = source_of(probe, model), time.perf_counter()
        few, (measure, settings) = first(data), PROBES[probe]
        network = trained(model, seed, few, SIZES)
        arrays = measure(network, few, settings, progress)
        described = {
            "configuration": provenance.describe_all(wanted),
            "seconds": round(time.perf_counter() - start, 1),
            "source": source,
            "environment": provenance.environment(),
            "health": health(model, network, few),
        }
        provenance.write_measurement(about, arrays, **described)
    return file


def configuration(model: str, seed: int, data: Dataset, probe: str) -> dict[str, Any]:
    """What a measurement at small scale is made with; ``ValueError`` lists the models and probes that there are."""
    for name, value, known in (("model", model, study.members("small")), ("probe", probe, PROBES)):
        if value not in known:
            raise ValueError(
                f"{name} = {value!r} is not among those of the small scale; choose from {', '.join(known)}"
            )
    chosen, (_, settings) = study.experiment(model), PROBES[probe]
    made = {"hidden": chosen.hidden, "power": chosen.power, "penalty": chosen.recipe.penalty, "sizes": SIZES}
    return {"small": probe, "settings": settings, "model": model, "seed": seed, "data": data.content_hash, **made}


def first(data: Dataset) -> Dataset:
    """The first ten thousand training images, or all if there are fewer, and all test images."""
    return replace(data, train=data.train.first(min(IMAGES, len(data.train))))


def health(model: str, network: TwoLayer, data: Dataset) -> dict[str, float]:
    """Of a KH layer, the shares of its units that have their norm, live, and win; of others, nothing."""
    if study.experiment(model).hidden != "local":
        return {}
    m, params = network.hidden.detach(), SIZES.layer
    synapses = local_learning.synapses_of(m, params.p)
    found = layer_health.health(synapses, datasets.unit_lp(data.train, params.p), params)
    return {"converged": found.converged, "live": found.live, "winning": found.winning}


# What moves a number; the source of all this, and of what it refers to, is hashed into each description.


def trained(model: str, seed: int, data: Dataset, sizes: Scale = SIZES) -> TwoLayer:
    """A small model of the study: KH's and untrained layers with a readout of zero, all others with their own."""
    chosen = study.experiment(model)
    if chosen.kind.trained:
        return live.train(model, data, None, sizes, seed).model
    network = TwoLayer(data.train.inputs, sizes.layer.hidden, len(data.train.classes), chosen.power)
    x = runner.image_sets(data, 0.0, sizes.layer.p)["train"][0]
    layer = live.train_layer(data, sizes, seed).synapses if chosen.hidden == "local" else models.unit_rows(network)
    runner.initialise(network, chosen.kind, x, seed, sizes.layer.p, layer)
    network.readout.data.zero_()
    return network.eval()


def source_of(probe: str, model: str) -> str:
    """Hash of the code that a measurement of a small model is made with; of layers and penalties, only its own."""
    return hashing.source_hash(trained, PROBES[probe][0], *study.experiment(model).code)
