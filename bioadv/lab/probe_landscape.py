"""The probe ``landscape``: planes through test images, random, towards an adversarial example, towards another image.

Images and random directions are the same for all models of a dataset, whether a model classifies the image correctly or
not; an adversarial example is one against the model's own decision.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bioadv.data.datasets import Dataset, unit_lp
from bioadv.measure import gradient_ascent, landscapes
from bioadv.measure.landscapes import Landscape, Plane
from bioadv.network import streams
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
PLANES = ("random", "adversarial", "image")
# near: radius in norms of the image; paper: 20 in L2 units, 5.6 image norms. other_power: the landscape of the latent
# is also measured with the activation that the model does not have, on the same weights.
LANDSCAPE = {
    "images": 10,
    "seed": 0,
    "points": 201,
    "near": 0.3,
    "paper": landscapes.PAPER_RADIUS,
    "logit_points": 51,
    "adversarial_l2": 0.5,
    "other_power": {"linear": 1.0, "steep": 4.5},
}
ADVERSARIAL = gradient_ascent.PGD(steps=40, norm="l2", loss="margin", step=0.0625, best=True, project=True)


def measure_landscape(
    model: TwoLayer, data: Dataset, settings: dict[str, Any], progress: bool
) -> dict[str, np.ndarray]:
    """Summaries of each landscape, and the maps of the first image.

    Arrays: quantities of :func:`bioadv.measure.landscapes.summary` as (2, 3, N) for the radii near and paper, the
    kinds of plane in ``PLANES`` and N images; ``logit_*`` and ``other_*`` (ranges with the other activation) as (2,
    N), random planes only; ``norms`` (N,) of the images; ``map_*`` (2, 3, P, P) of the first image at half the
    resolution.
    """
    count, seed = min(settings["images"], len(data.test)), settings["seed"]
    if len(data.test) < 2:
        raise ValueError("data: 1 test image; planes towards another image need at least 2")
    x, labels = unit_lp(data.test), data.test.labels
    following = [_following(labels, image, count) for image in range(count)]
    x, others_of = x[:count], x[following]
    with torch.no_grad():
        decisions = model(x).argmax(1)
    adversarial = gradient_ascent.pgd(model, x, decisions, settings["adversarial_l2"], ADVERSARIAL)
    powers = settings["other_power"]
    other = copy.deepcopy(model)
    other.power = powers["steep"] if model.power == powers["linear"] else powers["linear"]
    arrays: dict[str, np.ndarray] = {"norms": x.norm(dim=1).numpy()}
    bar = tqdm(total=2 * count, desc="landscape", disable=not progress)
    for image in range(count):
        random, others = _planes(x[image], adversarial[image], others_of[image], image, seed)
        for place, radius in enumerate((settings["near"] * float(x[image].norm()), settings["paper"])):
            for kind, plane in enumerate([random, *others]):
                if plane is None:
                    continue
                found = landscapes.landscape(model, plane, radius, settings["points"])
                for name, value in landscapes.summary(found).items():
                    arrays.setdefault(name, np.full((2, len(PLANES), count), np.nan))[place, kind, image] = value
                if image == 0:
                    _keep(arrays, found.thinned(), place, kind, len(model.bias))
            latent = landscapes.landscape(other, random, radius, settings["points"])
            logits = landscapes.landscape(model, random, radius, settings["logit_points"], logit_jacobian=True)
            extra = {f"other_{k}": v for k, v in landscapes.summary(latent).items() if k in OTHER}
            extra |= {k: v for k, v in landscapes.summary(logits).items() if k.startswith("logit")}
            for name, value in extra.items():
                arrays.setdefault(name, np.full((2, count), np.nan))[place, image] = value
            bar.update()
    return arrays


OTHER = ("low", "high", "spread", "smoothness")  # of the latent only: the readout was not trained for it


def _following(labels: np.ndarray, image: int, count: int) -> int:
    """The next image of another class, among the first ``count`` if there is one; any other if all are of one class."""
    order = [(image + step) % count for step in range(1, count)] + list(range(count, len(labels)))
    return next((i for i in order if labels[i] != labels[image]), order[0])


def _planes(x: Tensor, adversarial: Tensor, other: Tensor, image: int, seed: int) -> tuple[Plane, list[Plane | None]]:
    """The planes of an image x (D,): the random one, and those towards an adversarial example and another image.

    None where the attack made no progress, as for a model whose units are all dead on the image.
    """
    generator = torch.Generator().manual_seed(streams.pick(streams.PLANES, 1000 * seed + image))
    random = landscapes.random_plane(x, generator)
    second = torch.randn(x.shape[0], generator=generator)
    return random, [
        landscapes.plane_towards(x, target, x + second) if bool((target != x).any()) else None
        for target in (adversarial, other)
    ]


def _keep(arrays: dict[str, np.ndarray], found: Landscape, place: int, kind: int, classes: int) -> None:
    """The maps in few bytes: three digits of the Jacobian, class, confidence in steps of 1/255."""
    latent = found.latent_jacobian
    digits = 10.0 ** (np.floor(np.log10(max(float(latent.max()), 1e-30))) - 3)
    maps = {
        "map_jacobian": (np.round(latent / digits) * digits).astype(np.float32),
        "map_classes": found.classes.astype(np.min_scalar_type(classes - 1)),
        "map_confidence": np.round(255 * found.confidence).astype(np.uint8),
        "map_coordinates": found.coordinates.astype(np.float32),
    }
    for name, values in maps.items():
        shape = (2, len(PLANES), *values.shape)
        arrays.setdefault(name, np.zeros(shape, values.dtype))[place, kind] = values
