"""What the probes ``paths`` and ``epochs`` measure: a hidden layer with readouts from just begun to trained to the end.

The readout of the model that is measured is taken off. ``paths`` puts the solutions of penalised logistic regression in
its place, from the strongest penalty down, and last, where there is one, the readout that was taken off; ``epochs`` the
readouts along the paper's own training of it. At each of P places the same N test images are attacked. ``ends`` has the
solutions for weaker penalties still, and of the arrays below ``place``, ``gradient``, accuracies, ``loss`` and norms:
where does accuracy end?

Arrays: ``place`` (P,), penalty or epoch, NaN for the readout that was taken off; ``accuracy`` and ``train_accuracy``
(P,) of all images; ``loss`` (P,); ``norm`` and ``scaled_norm`` (P,), of the readout, and of the readout on units of
variance 1; ``gradient`` (P,), largest entry of the gradient of the penalised loss (``paths``); ``jacobian`` (P,), mean
``||dz/dx||``; ``images`` (N,), indices into the test set; ``scale`` (N,), full scale of a pixel in the unit-L3 image;
``margin`` (P, N), right logit less the largest wrong one; ``slope`` (P, N), L2 norm of its gradient; ``l2``, ``linf``
(P, N), norm of the smallest perturbation found, 0 where the image is decided wrongly; ``first``, ``second`` (P, N),
certified L2 radii, linear or interval and of second order, NaN where not computed; ``black_box`` (P, N), L2 norm that
HopSkipJump found, NaN where not tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from bioadv.data import datasets
from bioadv.data.datasets import Dataset
from bioadv.data.progress import bar
from bioadv.measure import attacks, certificates, critical, referees, smallest
from bioadv.measure.smallest import Effort
from bioadv.network import models, readout
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
Arrays = dict[str, np.ndarray]
Place = tuple[float, Tensor, Tensor, float]  # penalty or epoch, readout, bias, gradient
# Settings: penalties on the readout of standardised units; test images attacked; of those, how many get certificates,
# and how many meet HopSkipJump at the last one of the places.
PATHS: dict[str, Any] = {
    "penalties": [1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5],
    "images": 300,
    "certified": 16,
    "black_box": {"images": 6, "steps": 15, "evaluations": 60, "gamma": 10.0, "pool": 1000},
    "seed": critical.SEED,
}
ENDS: dict[str, Any] = {"penalties": [1e-4, 1e-5, 1e-6, 1e-7, 1e-8]}
EPOCHS: dict[str, Any] = {
    **{name: value for name, value in PATHS.items() if name != "penalties"},
    "epochs": [1, 10, 100, 1000, 10_000],
    "steps": 50,  # per epoch, as the paper has on CIFAR-10
}


def measure_paths(model: TwoLayer, data: Dataset, settings: dict[str, Any], progress: bool) -> Arrays:
    """A path of penalties; arrays as above."""
    a, y = _latents(model, data)
    found = readout.path(a, y, settings["penalties"], len(data.train.classes))
    places = [(one.penalty, one.readout, one.bias, one.gradient) for one in found]
    if bool(model.readout.any()):
        places.append((float("nan"), model.readout, model.bias, float("nan")))
    return _measured(model, data, settings, a, y, places, progress)


def measure_ends(model: TwoLayer, data: Dataset, settings: dict[str, Any], progress: bool) -> Arrays:
    """The far end of the path of penalties; arrays as above, without attacks."""
    a, y = _latents(model, data)
    a_test, y_test = models.in_batches(model.after, datasets.unit_lp(data.test)), torch.tensor(data.test.labels)
    rows, spread = [], a.std(0)
    for one in readout.path(a, y, settings["penalties"], len(data.train.classes)):
        subject = with_readout(model, one.readout, one.bias)
        row = {
            "place": one.penalty,
            "gradient": one.gradient,
            "accuracy": float((subject.logits(a_test).argmax(1) == y_test).float().mean()),
            "train_accuracy": float((subject.logits(a).argmax(1) == y).float().mean()),
            "loss": one.loss,
            "norm": one.norm,
            "scaled_norm": float((one.readout * spread).norm()),
        }
        rows.append(row)
    return {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}


def measure_epochs(model: TwoLayer, data: Dataset, settings: dict[str, Any], progress: bool) -> Arrays:
    """The paper's training, from random weights of the readout; arrays as above."""
    a, y = _latents(model, data)
    generator = torch.Generator().manual_seed(settings["seed"])
    start = models.init(TwoLayer(1, a.shape[1], len(data.train.classes)), generator)
    batch = max(1, -(-len(a) // settings["steps"]))
    path = readout.adam((start.readout, start.bias), a, y, settings["epochs"], batch, generator)
    places = [(float(epoch), weights, bias, float("nan")) for epoch, weights, bias in path]
    return _measured(model, data, settings, a, y, places, progress)


def _latents(model: TwoLayer, data: Dataset) -> tuple[Tensor, Tensor]:
    if model.hidden.shape[1] != data.train.inputs:
        raise ValueError(
            f"model: its hidden layer sees images of {model.hidden.shape[1]} pixels, those of {data.name} have "
            f"{data.train.inputs}; give the images that it was made for"
        )
    return models.in_batches(model.after, datasets.unit_lp(data.train)), torch.tensor(data.train.labels)


def _measured(
    model: TwoLayer,
    data: Dataset,
    settings: dict[str, Any],
    a: Tensor,
    y: Tensor,
    places: Sequence[Place],
    progress: bool,
) -> Arrays:
    x_test, y_test, scale = datasets.unit_lp(data.test), torch.tensor(data.test.labels), datasets.ceiling(data.test)
    drawn = torch.Generator().manual_seed(settings["seed"])
    images = torch.randperm(len(x_test), generator=drawn)[: settings["images"]]
    a_test, spread, rows = models.in_batches(model.after, x_test), a.std(0), list[Arrays]()
    for number, (place, weights, bias, gradient) in enumerate(bar(places, "places" if progress else False), 1):
        subject = with_readout(model, weights, bias)
        z, z_test = subject.logits(a), subject.logits(a_test)
        row = {
            "place": place,
            "gradient": gradient,
            "accuracy": float((z_test.argmax(1) == y_test).float().mean()),
            "train_accuracy": float((z.argmax(1) == y).float().mean()),
            "loss": float(cross_entropy(z, y)),
            "norm": float(weights.detach().norm()),
            "scaled_norm": float((weights.detach() * spread).norm()),
            **at(subject, x_test[images], y_test[images], scale[images], settings["certified"], settings["seed"]),
        }
        given = dict(settings["black_box"])
        tried, pool = given.pop("images"), x_test[:: max(1, len(x_test) // given.pop("pool"))]
        tried = tried if number == len(places) else 0
        row["black_box"] = _black_box(subject, x_test[images], y_test[images], pool, tried, given)
        rows.append({name: np.asarray(value, np.float32) for name, value in row.items()})
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return {**stacked, "images": images.numpy().astype(np.int32), "scale": scale[images, 0].numpy()}


def with_readout(model: TwoLayer, weights: Tensor, bias: Tensor) -> TwoLayer:
    """The hidden layer of a model with another readout (C, H) and bias (C,)."""
    if model.norm is not None:
        raise ValueError("model: its hidden layer has batch norm; paths of readouts are for layers without")
    hidden = model.hidden.detach()
    other = TwoLayer(hidden.shape[1], len(hidden), len(bias), model.power)
    with torch.no_grad():
        for part, value in ((other.hidden, hidden), (other.readout, weights), (other.bias, bias)):
            part.copy_(value)
    return other.eval().requires_grad_(False)


def at(model: TwoLayer, x: Tensor, y: Tensor, scale: Tensor, certified: int, seed: int) -> dict[str, Any]:
    """What is measured of a network on images x (N, D): smallest perturbations, margins, slopes, certificates."""
    uphill, z = attacks.gradient(model, x, y, "margin")
    found = {norm: smallest.smallest(model, x, y, scale, norm, Effort(), seed) for norm in attacks.NORMS}
    some = (found["l2"] > 0).nonzero()[:certified, 0]
    radii = {name: torch.full((len(x),), torch.nan) for name in ("first", "second")}
    if len(some):
        for name, method in (("first", "both"), ("second", "second order")):
            radius = certificates.certified_radius(model, x[some], y[some], method=method)
            radii[name][some] = torch.from_numpy(radius).float()
    return {
        "margin": attacks.margin(z, y),
        "slope": torch.linalg.vector_norm(uphill, dim=1),
        "jacobian": jacobian(model, x),
        **found,
        **radii,
    }


def jacobian(model: TwoLayer, x: Tensor) -> float:
    """Mean over images of the Frobenius norm of dz/dx."""
    h = model.before(x)
    squares = [
        model.pull(model.readout[c] * models.slope(h, model.power)).square().sum(1) for c in range(len(model.bias))
    ]
    return float(torch.stack(squares).sum(0).sqrt().mean())


def _black_box(model: TwoLayer, x: Tensor, y: Tensor, pool: Tensor, count: int, settings: dict[str, Any]) -> Tensor:
    """L2 norms found by HopSkipJump for the first ``count`` images decided correctly, NaN for all others."""
    norms, classes = torch.full((len(x),), torch.nan), models.in_batches(model, pool).argmax(1)
    some = (~attacks.wrong(model, x, y)).nonzero()[:count, 0]
    if len(some) and len(classes.unique()) > 1:
        starts = referees.starting_points(model, x[some], y[some], pool)
        norms[some] = referees.hop_skip_jump(model, x[some], y[some], starts, **settings).norms(x[some])
    return norms
