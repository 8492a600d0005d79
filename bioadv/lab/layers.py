"""Hidden layers alone, without a readout: what their spectra on images owe to the rows and to the images.

Two scales. ``small``: 400 units, ten thousand training images, 10,000 steps of the local rule, about a minute a run, on
five sets of images. ``untrained``: 2000 rows of one length that nobody trained, on all of CIFAR-10. A run is a folder
``OUT/SCALE/IMAGES/LAYER/seed-S`` with ``alignment.npz`` and, written last, ``alignment.json``; one that was killed is
made again from its start, and comes out the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from bioadv.data import variants
from bioadv.data.moments import Moments
from bioadv.data.variants import Rows
from bioadv.lab import hashing, processes, provenance, study
from bioadv.lab.runs import Run
from bioadv.measure import alignment, gaussian_latents, spectra
from bioadv.measure.alignment import Components
from bioadv.network import hidden, local_learning, streams
from bioadv.network.hidden import Given
from bioadv.network.local_learning import KHParams

Tensor = torch.Tensor
Arrays = dict[str, np.ndarray]
T = TypeVar("T")
FILE = "alignment"
SMALL = KHParams(hidden=400, delta=0.2, batch=200)
LARGE = KHParams(hidden=2000)  # of an untrained layer only the number of units and the norm count
STEPS, IMAGES, SEEDS = 10_000, 10_000, range(5)
STOPS = (0, 1, 3, 10, 30, 100)  # epochs after which a layer in training is looked at; and the last
POWERS = (1, 4.5)
LEADING = (10, 100)
LEARNED = ("local", "settled")
FEWEST = 3
SETTLED = 1e-2  # how far a norm may be off, as in local_learning.Health
STORED = 1000  # eigenvalues of the images
# ``random`` rows are white ones of other lengths, and ``local`` ones are trained here.
UNTRAINED = tuple(name for name, kind in study.HIDDEN.items() if not kind.trained and name not in ("random", "local"))
SETS = ("cifar10", "mnist", "photo-patches", "cifar10-scrambled", "cifar10-whitened")


@dataclass(frozen=True)
class Layer:
    """A layer.

    kind: of its rows, in ``study.HIDDEN``; or ``settled``: those of the local rule without the units that are not at
    their norm; params: of the local rule; images: how many it sees, None for all.
    """

    kind: str
    params: KHParams
    images: int | None


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
NULLS = {kind: Layer(kind, SMALL, IMAGES) for kind in UNTRAINED}
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
    "untrained": {"cifar10": {kind: Layer(kind, LARGE, None) for kind in UNTRAINED}},
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
                if chosen.kind in LEARNED and progress:
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
    source, start = source_of(chosen.kind), time.perf_counter()
    arrays, health = measured(chosen, run.seed, pictures, of, known)
    seconds = time.perf_counter() - start
    about = {
        "configuration": provenance.describe_all({**about, "data": pictures.digest}),
        "seconds": round(seconds, 1),
        "source": source,
        "environment": provenance.environment(),
        "health": health,
    }
    provenance.write_measurement(run.measured(FILE), arrays, **about)


# What moves a number; the source of all this, and of what it refers to, is hashed into each description.


def measured(
    chosen: Layer, seed: int, pictures: Rows, of: Moments, known: Components
) -> tuple[Arrays, dict[str, float]]:
    """What is stored of a layer, and, if it was trained, whether it is alive.

    ``images``, ``rows``, ``pixels``: eigenvalues of M S M^T, M M^T and S, on test images; ``deficit``, ``rank``,
    ``near``: see :class:`bioadv.measure.alignment.Alignment`; ``after_N``, ``gaussian_N``: eigenvalues behind ReLU^N,
    measured and as predicted for Gaussian latents; and what :func:`glance` sees. Of a trained layer also ``epochs`` and
    what is seen after each of these, ``along_*``, of the units that are settled in the end; and ``synapses``,
    eigenvalues of W W^T.
    """
    found, health = dict[str, Tensor](), dict[str, float]()
    if chosen.kind in LEARNED:
        params = replace(chosen.params, epochs=STEPS // -(-len(pictures.train) // chosen.params.batch))
        stops = {epoch: w.clone() for epoch, w in trained(pictures.train, params, seed)}
        state = local_learning.health(stops[params.epochs], pictures.train, params)
        health = {"converged": state.converged, "live": state.live, "winning": state.winning}
        if chosen.kind == "settled":
            settled = torch.from_numpy(abs(state.norms - params.radius) <= SETTLED)
            if int(settled.sum()) < FEWEST:
                raise ValueError(f"{int(settled.sum())} units are at their norm, {FEWEST} are needed; train for longer")
            stops = {epoch: w[settled] for epoch, w in stops.items()}
        seen = [glance(local_learning.metric(w, params.p), w, pictures, of, known, params.p) for w in stops.values()]
        w = stops[params.epochs]
        m = local_learning.metric(w, params.p)
        found = {f"along_{name}": torch.stack([one[name] for one in seen]) for name in seen[0]}
        found |= {"epochs": torch.tensor(list(stops)), "synapses": _eigenvalues(w)}
    else:
        m = w = untrained(chosen, pictures.train, seed)
    lies = alignment.align(m, of, known)
    found |= glance(m, w, pictures, of, known, chosen.params.p) | {"pixels": lies.images[:STORED]}
    found |= {"deficit": lies.deficit, "rank": lies.rank, "near": lies.near}
    before = spectra.linear_moments(of, m)
    for power in POWERS:
        latents = ((part.double() @ m.double().T).clamp_min(0).pow(power) for part in pictures.test.split(1000))
        found[f"after_{power}"] = spectra.eigenspectrum(spectra.moments(latents))
        found[f"gaussian_{power}"] = spectra.eigenspectrum(gaussian_latents.activated(before, power))
    return {name: values.float().numpy() for name, values in found.items()}, health


def trained(x: Tensor, params: KHParams, seed: int) -> Iterator[tuple[int, Tensor]]:
    """A layer in training, as :func:`bioadv.network.local_learning.train` has it: (epoch, synapses) at the stops."""
    generator = torch.Generator().manual_seed(streams.pick(streams.START, seed))
    w = local_learning.init(params, x.shape[1], generator)
    for epoch in range(params.epochs + 1):
        if epoch:
            rate, m = local_learning.learning_rate(params, epoch), local_learning.metric(w, params.p)
            for chosen in torch.randperm(len(x), generator=generator).split(params.batch):
                local_learning.step(w, m, x[chosen], params, rate)
        if epoch in STOPS or epoch == params.epochs:
            yield epoch, w


def untrained(chosen: Layer, x: Tensor, seed: int) -> Tensor:
    """Rows of a kind of the study, (H, D), all of one length."""
    params = chosen.params
    start = local_learning.init(params, x.shape[1], torch.Generator().manual_seed(streams.pick(streams.START, seed)))
    drawn = torch.Generator().manual_seed(streams.pick(streams.DRAWN, seed))
    alike = torch.ones_like(start)  # a KH layer whose rows have one length
    return hidden.weights(study.HIDDEN[chosen.kind], Given(x, start, drawn, params.p, alike))


def glance(m: Tensor, w: Tensor, pictures: Rows, of: Moments, known: Components, p: float = 3.0) -> dict[str, Tensor]:
    """What is seen of a layer with rows M and synapses W, (H, D), beside images of unit L^p norm.

    ``images``, ``rows``, ``rows_centred``: eigenvalues of M S M^T, M M^T and the rows' covariance; ``nearest`` (2,):
    median cosine of W, and of M, with the nearest training image; ``leading`` (4,): mean share of the squared length of
    M on the first 10 and 100 principal components, and that of a thousand training images; all less their mean.
    """
    latent = spectra.linear_moments(of, m).covariance
    centred = pictures.train[:1000] - pictures.train.mean(0)
    shares = [alignment.leading(part, known, count).mean() for part in (m - m.mean(0), centred) for count in LEADING]
    return {
        "images": torch.linalg.eigvalsh(latent).flip(0),
        "rows": _eigenvalues(m),
        "rows_centred": _eigenvalues(m - m.mean(0)),
        "nearest": torch.stack([alignment.nearest(_unit(part, p), pictures.train)[0].median() for part in (w, m)]),
        "leading": torch.stack(shares),
    }


def _unit(rows: Tensor, p: float) -> Tensor:
    """Rows at the L^p norm of images: both are compared less the mean image, which has a length."""
    return rows / torch.linalg.vector_norm(rows, p, dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)


def _eigenvalues(rows: Tensor) -> Tensor:
    """Of the rows times their transpose, falling."""
    return torch.linalg.eigvalsh(rows.double() @ rows.double().T).flip(0)


def source_of(kind: str) -> str:
    """Hash of the code that a layer with rows of this kind is made and measured with; other kinds do not count."""
    made = [study.HIDDEN[kind].weights] if kind in UNTRAINED else []
    return hashing.source_hash(measured, variants.rows, *made)
