"""What is measured of a hidden layer alone, without a readout: what its spectrum owes to its rows and to the images.

Which layers there are, and the folders that they are stored in, is in :mod:`bioadv.lab.alone`. Every function here is
hashed into the description of what it measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from bioadv.data import variants
from bioadv.data.moments import Moments
from bioadv.data.variants import Rows
from bioadv.lab import experiments, hashing
from bioadv.measure import alignment, gaussian_latents, spectra
from bioadv.measure.alignment import Components
from bioadv.network import hidden, layer_health, local_learning, streams
from bioadv.network.hidden import Given
from bioadv.network.kh_params import KHParams

Tensor = torch.Tensor
Arrays = dict[str, np.ndarray]
STEPS = 10_000
STOPS = (0, 1, 3, 10, 30, 100)  # epochs after which a layer in training is looked at; and the last
POWERS = (1, 4.5)
LEADING = (10, 100)
LEARNED = ("local", "settled")
FEWEST = 3
SETTLED = 1e-2  # how far a norm may be off, as in layer_health.Health
STORED = 1000  # eigenvalues of the images
# ``random`` rows are white ones of other lengths, and ``local`` ones are trained here.
UNTRAINED = tuple(
    name for name, kind in experiments.HIDDEN.items() if not kind.trained and name not in ("random", "local")
)


@dataclass(frozen=True)
class Layer:
    """A layer.

    kind: of its rows, in ``experiments.HIDDEN``; or ``settled``: those of the local rule without the units that are not
    at their norm; params: of the local rule; images: how many it sees, None for all.
    """

    kind: str
    params: KHParams
    images: int | None


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
        state = layer_health.health(stops[params.epochs], pictures.train, params)
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
    return hidden.weights(experiments.HIDDEN[chosen.kind], Given(x, start, drawn, params.p, alike))


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
    made = [experiments.HIDDEN[kind].weights] if kind in UNTRAINED else []
    return hashing.source_hash(measured, variants.rows, *made)
