"""Hidden layers alone: which there are, making them, and where they lie.

Two scales. ``small``: 400 units, ten thousand training images, 10,000 steps of the local rule, a minute or two for a
layer that is trained, on five sets of images. ``untrained``: 2000 rows of one length that nobody trained, on all of
CIFAR-10. A run is a folder ``OUT/SCALE/IMAGES/LAYER/seed-S`` with ``alignment.npz`` and, written last,
``alignment.json``; one that was killed is made again from its start, and comes out the same. What is measured is in
:mod:`bioadv.lab.layers`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from bioadv.data import variants
from bioadv.data.moments import Moments
from bioadv.data.variants import Rows
from bioadv.lab import layers, processes, provenance, study
from bioadv.lab.layers import Layer
from bioadv.lab.runs import Run
from bioadv.measure import alignment, spectra
from bioadv.measure.alignment import Components
from bioadv.network import streams
from bioadv.network.kh_params import KHParams

T = TypeVar("T")
FILE = "alignment"
SMALL = KHParams(hidden=400, delta=0.2, batch=200)
LARGE = KHParams(hidden=2000)  # of an untrained layer only the number of units and the norm count
IMAGES, SEEDS = 10_000, range(5)
SETS = ("cifar10", "mnist", "photo-patches", "cifar10-scrambled", "cifar10-whitened")


def _local(**changes: Any) -> Layer:
    return Layer("local", replace(SMALL, **changes), IMAGES)


VARIED = {
    "delta-0.1": _local(delta=0.1),
    "delta-0.3": _local(delta=0.3),
    "k-4": _local(k=4),
    "k-7": _local(k=7),
    "p-2": _local(p=2.0),
    "p-4": _local(p=4.0),
    "units-200": _local(hidden=200),
    "units-800": _local(hidden=800),
}
NULLS = {kind: Layer(kind, SMALL, IMAGES) for kind in layers.UNTRAINED}
FEW = replace(SMALL, hidden=100)
HUNDRED = {
    "units-100": Layer("local", FEW, IMAGES),
    "settled-100": Layer("settled", FEW, IMAGES),
    **{f"{kind}-100": Layer(kind, FEW, IMAGES) for kind in ("exemplars", "gaussian", "white")},
}
# The same with other parameters, again of the units that are at their norm.
CHANGES: dict[str, dict[str, Any]] = {
    "delta-0.1": {"delta": 0.1},
    "delta-0.3": {"delta": 0.3},
    "k-4": {"k": 4},
    "k-7": {"k": 7},
    "p-2": {"p": 2.0},
    "p-4": {"p": 4.0},
    "200": {"hidden": 200},
}
SETTLED_VARIED = {
    f"settled-{name}": Layer("settled", replace(FEW, **changes), IMAGES) for name, changes in CHANGES.items()
}
LAYERS: dict[str, dict[str, dict[str, Layer]]] = {  # by scale and images
    "small": {name: {study.LAYER: _local(), **HUNDRED, **NULLS} for name in SETS},
    "untrained": {"cifar10": {kind: Layer(kind, LARGE, None) for kind in layers.UNTRAINED}},
}
LAYERS["small"]["cifar10"] |= VARIED | SETTLED_VARIED
# Numbers of units and of images, on MNIST, where nearly all units get to their norm: which of the two counts?
COUNTED: dict[str, Layer] = {
    f"settled-{units}{'' if images == IMAGES else f'-of-{images}'}": Layer(
        "settled", replace(SMALL, hidden=units), images
    )
    for units, images in ((200, IMAGES), (100, 2_500), (100, 40_000), (400, 40_000))
}
COUNTED["exemplars-200"] = Layer("exemplars", replace(SMALL, hidden=200), IMAGES)
LAYERS["small"]["mnist"] |= COUNTED


def sets(scale: str) -> list[str]:
    """The sets of images of a scale; ``ValueError`` for an unknown one."""
    return list(_known("scale", scale, LAYERS))


def names(scale: str, images: str) -> list[str]:
    """The layers of a scale on a set of images; ``ValueError`` for an unknown one."""
    sets(scale)
    return list(_known("images", images, LAYERS[scale]))


def layer(scale: str, images: str, name: str) -> Layer:
    """A layer by its place; ``ValueError`` lists what there is."""
    names(scale, images)
    return _known("layer", name, LAYERS[scale][images])


def selection(
    scales: Sequence[str], images: Sequence[str] | None = None, wanted: Sequence[str] | None = None
) -> dict[tuple[str, str], list[str]]:
    """By scale and set of images the layers that were asked for, by default all; those that it lacks are left out.

    ``ValueError`` for an unknown scale, or a set or a layer that none of the scales has.
    """
    known = {(scale, of): names(scale, of) for scale in scales for of in sets(scale)}
    for one in images or ():
        _known("images", one, dict.fromkeys(of for _, of in known))
    known = {place: found for place, found in known.items() if not images or place[1] in images}
    for one in wanted or ():
        _known("layer", one, dict.fromkeys(name for found in known.values() for name in found))
    return {place: [n for n in found if not wanted or n in wanted] for place, found in known.items()}


def _known(what: str, key: str, table: Mapping[str, T]) -> T:
    if key not in table:
        raise ValueError(f"{what} = {key!r} is not known; choose from {', '.join(table)}")
    return table[key]


def make(scale: str, images: str, names: list[str], seeds: list[int], out: Path, progress: bool = True) -> list[Path]:
    """Make and measure layers on one set of images and return their folders; what is finished is left alone.

    Raises ``ValueError`` for what is not known, a seed that no run can have, or what was made with other parameters,
    ``RuntimeError`` if another process makes it.
    """
    for seed in seeds:
        streams.pick(streams.START, seed)  # all of them before any work
    folders, loaded = list[Path](), dict[tuple[int | None, float], tuple[Rows, Moments, Components]]()
    for seed in seeds:
        for name in names:
            chosen = layer(scale, images, name)
            run = Run(out / scale / images, name, seed)
            folders.append(run.folder)
            about, wanted = run.measured(FILE), configuration(scale, images, name, seed)
            if provenance.made(about, wanted):
                continue
            with processes.alone(processes.run_lock(run.folder, FILE), str(run.folder)):
                if provenance.made(about, wanted):  # by another process, in between
                    continue
                if chosen.kind in layers.LEARNED and progress:
                    print(f"{run.folder}", flush=True)
                key = (chosen.images, chosen.params.p)
                if key not in loaded:
                    pictures = variants.rows(images, *key)
                    of = spectra.moments(pictures.test)
                    loaded[key] = (pictures, of, alignment.components(of))
                _measure(run, chosen, wanted, *loaded[key])
    return folders


def configuration(scale: str, images: str, name: str, seed: int) -> dict[str, Any]:
    """What a layer is made with; the digest of its images is added when they are read."""
    return {"alone": layer(scale, images, name), "scale": scale, "images": images, "layer": name, "seed": seed}


def _measure(run: Run, chosen: Layer, about: dict[str, Any], pictures: Rows, of: Moments, known: Components) -> None:
    source, start = layers.source_of(chosen.kind), time.perf_counter()
    arrays, health = layers.measured(chosen, run.seed, pictures, of, known)
    seconds = time.perf_counter() - start
    about = {
        "configuration": provenance.describe_all({**about, "data": pictures.digest}),
        "seconds": round(seconds, 1),
        "source": source,
        "environment": provenance.environment(),
        "health": health,
    }
    provenance.write_measurement(run.measured(FILE), arrays, **about)
