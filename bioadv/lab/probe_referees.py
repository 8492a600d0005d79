"""The probe ``referees``: attacks of other people on a trained model, with gradients and without."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from bioadv.data.datasets import Dataset, unit_lp
from bioadv.measure import attack_libraries, referees
from bioadv.network import models, streams
from bioadv.network.models import TwoLayer

# Black-box attacks need thousands of forward passes per image and get fewer images: the first of the same list.
REFEREES = {
    "images": 500,
    "seed": 0,
    "ddn": {"steps": 150},
    "apgd": {"low": 1e-4, "high": 0.05, "rounds": 8, "steps": 30},
    "square": {"images": 200, "epsilons": [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032], "queries": 1000},
    "hop_skip_jump": {"images": 100, "steps": 25, "evaluations": 100, "gamma": 10.0, "pool": 2000},
}


def measure_referees(model: TwoLayer, data: Dataset, settings: dict[str, Any], progress: bool) -> dict[str, np.ndarray]:
    """Smallest perturbations found by each referee on the first test images that the model classifies correctly.

    Arrays: ``index`` (N,) of the images in the test set; ``ddn_l2`` (N,); ``apgd_ce_linf``, ``apgd_ce_l2``,
    ``apgd_dlr_linf``, ``apgd_dlr_l2`` (N,): largest change of a pixel, and L2 norm, at the smallest epsilon;
    ``square_linf`` (S,): smallest of ``square_epsilons`` that broke the image; ``hop_skip_jump_l2`` and the distance
    it began at, ``hop_skip_jump_start`` (K,); infinite where nothing was found. L2 norms are of unit-L3 images.
    ``libraries``: names and versions. With two classes ``apgd_dlr_*`` are left out (that loss needs three). Where a
    model puts all images that HopSkipJump could start from in one class, its distances are infinite.
    """
    x, y = unit_lp(data.test), torch.tensor(data.test.labels)
    right = (models.in_batches(model, x).argmax(1) == y).nonzero()[: settings["images"], 0]
    if not len(right):
        raise ValueError("model: it classifies no test image correctly, so there is nothing to attack")
    pool, (x, y), shape = x, (x[right], y[right]), data.test.shape
    seed = streams.pick(streams.REFEREES, settings["seed"])
    arrays = {"index": right.numpy(), "ddn_l2": referees.ddn(model, x, y, seed=seed, **settings["ddn"]).norms(x)}
    losses = ("ce", "dlr") if len(model.bias) >= referees.FEWEST_FOR_DLR else ("ce",)
    for loss in losses:
        found = referees.apgd(model, x, y, loss, seed=seed, progress=progress, **settings["apgd"])
        arrays[f"apgd_{loss}_linf"] = found.norms(x, torch.inf)
        arrays[f"apgd_{loss}_l2"] = found.norms(x)
    given = dict(settings["square"])
    few = slice(given.pop("images"))
    broken = referees.square(model, x[few], y[few], shape, seed=seed, progress=progress, **given)
    ladder = torch.tensor([*given["epsilons"], torch.inf])
    arrays["square_linf"], arrays["square_epsilons"] = ladder[(~broken).sum(0)], ladder[:-1]
    given = dict(settings["hop_skip_jump"])
    few, pool = slice(given.pop("images")), pool[:: max(1, len(pool) // given.pop("pool"))]
    if len(models.in_batches(model, pool).argmax(1).unique()) > 1:
        starts = referees.starting_points(model, x[few], y[few], pool)
        found = referees.hop_skip_jump(model, x[few], y[few], starts, seed=seed, progress=progress, **given)
        arrays["hop_skip_jump_l2"], arrays["hop_skip_jump_start"] = found.norms(x[few]), (starts - x[few]).norm(dim=1)
    else:
        arrays["hop_skip_jump_l2"] = arrays["hop_skip_jump_start"] = torch.full((len(x[few]),), torch.inf)
    plain = {name: np.asarray(values) for name, values in arrays.items()}
    return plain | {"libraries": np.array([f"{name} {version(name)}" for name in attack_libraries.LIBRARIES])}
