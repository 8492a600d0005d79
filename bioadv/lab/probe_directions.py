"""What the probe ``directions`` measures: along what a network is attacked, and how far images differ along it.

The readouts are those of the probe ``paths``, solutions of penalised logistic regression from the strongest penalty
down, and last, where there is one, the readout that the model was trained with; the N test images are the same too.

Arrays: ``place`` (P,), penalty, NaN for the readout that was taken off; ``accuracy`` (P,) on all test images;
``gradient`` (P,), largest entry of the gradient of the penalised loss; ``images`` (N,), indices into the test set;
``margin`` (P, N), right logit less the largest wrong one; ``slope`` (P, N), L2 norm of its gradient by the pixels;
``deviation`` (P, N), standard deviation of the training images along that gradient; ``energy`` (P, D), share of its
squared length on the first n principal components of the training images, mean over the images decided correctly;
``variances`` (D,), theirs; ``layer`` (), the deviation if all units had an equal part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bioadv.data import datasets
from bioadv.data.datasets import Dataset
from bioadv.data.progress import bar
from bioadv.lab import probe_paths
from bioadv.measure import alignment, attacks, directions, spectra
from bioadv.network import models, readout
from bioadv.network.models import TwoLayer

Arrays = dict[str, np.ndarray]
DIRECTIONS: dict[str, Any] = {name: probe_paths.PATHS[name] for name in ("penalties", "images", "seed")}


def measure_directions(model: TwoLayer, data: Dataset, settings: dict[str, Any], progress: bool) -> Arrays:
    """Margins and their gradients on a path of penalties; arrays as above."""
    x, y = datasets.unit_lp(data.train), torch.tensor(data.train.labels)
    x_test, y_test = datasets.unit_lp(data.test), torch.tensor(data.test.labels)
    drawn = torch.Generator().manual_seed(settings["seed"])
    images = torch.randperm(len(x_test), generator=drawn)[: settings["images"]]
    of = spectra.moments(x)
    known, a_test = alignment.components(of), models.in_batches(model.after, x_test)
    found = readout.path(models.in_batches(model.after, x), y, settings["penalties"], len(data.train.classes))
    places = [(one.penalty, one.readout, one.bias, one.gradient) for one in found]
    if bool(model.readout.any()):
        places.append((float("nan"), model.readout, model.bias, float("nan")))
    rows = list[Arrays]()
    for place, weights, bias, remaining in bar(places, "places" if progress else False):
        subject = probe_paths.with_readout(model, weights, bias)
        uphill, z = attacks.gradient(subject, x_test[images], y_test[images], "margin")
        margin = attacks.margin(z, y_test[images])
        right = margin > 0
        row = {
            "place": place,
            "accuracy": float((subject.logits(a_test).argmax(1) == y_test).float().mean()),
            "gradient": remaining,
            "margin": margin,
            "slope": torch.linalg.vector_norm(uphill, dim=1),
            "deviation": directions.deviation(uphill, of),
            "energy": directions.shares(uphill[right], known).mean(0).cumsum(0),
        }
        rows.append({name: np.asarray(value, np.float32) for name, value in row.items()})
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return {
        **stacked,
        "images": images.numpy().astype(np.int32),
        "variances": known.variances.numpy().astype(np.float32),
        "layer": np.array(directions.of_layer(model.hidden, of), np.float32),
    }
