"""Attacks of other people, as referees: thin adapters to ``pyautoattack`` and ``foolbox`` (extra ``referees``).

White-box: :func:`apgd` (L-infinity) and :func:`ddn` (L2) follow gradients. Black-box: :func:`square` (L-infinity) sees
logits, :func:`hop_skip_jump` (L2) sees decisions only. A model that merely hides its gradient looks robust to the
first pair and not to the second.

All work in our units, unit-L3 images, and in the clamp of the attacks as coded, 0 <= pixel <= 1. That is the box
[0, 1] which these libraries assume, so images go in as they are (the upper bound never binds: pixels are about 0.06).
DDN alone has step lengths in absolute units, made for pixels that fill the box; it gets images and box times
:func:`ddn_scale`, and its distances are divided by it. Random numbers are drawn from a seed, and torch's global state
is left as it was.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from tqdm import tqdm

from bioadv.data import checks
from bioadv.measure.attack_libraries import Found, checked, foolbox, judged, runner, same_shape, seeded
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
DDN_SCALE = 8.0  # unit-L3 images of CIFAR-10 times 8 have about the norm of images with pixels in [0, 1],
DDN_INPUTS = 3072  # and pixels go as D^(-1/3)
FEWEST_FOR_DLR = 3  # classes
BALLS = {"linf": "Linf", "l2": "L2"}  # what pyautoattack calls them


def ddn_scale(inputs: int) -> float:
    """What unit-L3 images of D inputs are multiplied by so that pixels are as large as those of images in [0, 1]."""
    return float(DDN_SCALE * (inputs / DDN_INPUTS) ** (1 / 3))


def ddn(model: TwoLayer, x: Tensor, y: Tensor, steps: int = 200, seed: int = 0, batch: int = 250) -> Found:
    """Decoupled direction and norm (foolbox): a small L2 perturbation by gradients of the cross-entropy.

    x (N, D), y (N,), all classified correctly; steps: gradients per image.
    """
    model = checked(model, x, y, steps=steps, batch=batch)
    attack = foolbox().attacks.DDNAttack(steps=steps, init_epsilon=1.0)
    scale = ddn_scale(x.shape[1])
    run = runner(attack, lambda inputs: model(inputs / scale), (0.0, scale))
    with seeded(seed):
        parts = [run(a * scale, b) / scale for a, b in zip(x.split(batch), y.split(batch), strict=True)]
    return judged(model, x, y, torch.cat(parts).clamp(0, 1))


def hop_skip_jump(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    starts: Tensor,
    steps: int = 30,
    evaluations: int = 100,
    gamma: float = 10.0,
    seed: int = 0,
    batch: int = 50,
    progress: bool = False,
) -> Found:
    """HopSkipJump (foolbox): a small L2 perturbation from decisions alone, no gradient, no logits.

    starts (N, D): images that the model puts in another class, see :func:`starting_points`. steps: jumps;
    evaluations: random directions of the first jump, growing with the root of the step; gamma: width of the probed
    shell, as a multiple of the library's default, which is so thin that float32 rounding decides in it.
    """
    model = checked(model, x, y, steps=steps, evaluations=evaluations, batch=batch)
    checks.positive(gamma=gamma)
    same_shape(x, starts, "starts")
    if not bool((model(starts).argmax(1) != y).all()):
        raise ValueError("starts: some have the class of their image; take them from starting_points")

    class PerImage(foolbox().attacks.HopSkipJumpAttack):  # type: ignore[misc]
        """The library (3.3.4) gives unit norm to a whole batch, not to each image: probes and estimated gradient."""

        def approximate_gradients(self, decide: Any, images: Any, steps: int, delta: Any) -> Any:
            gradient = super().approximate_gradients(decide, images, steps, delta * len(images) ** 0.5)
            return gradient / (gradient.square().sum(axis=1, keepdims=True).sqrt() + 1e-30)

    attack = PerImage(steps=steps, initial_gradient_eval_steps=evaluations, gamma=gamma)
    run, parts = runner(attack, model, (0.0, 1.0)), []
    bar = tqdm(range(0, len(x), batch), "HopSkipJump", disable=not progress)
    with seeded(seed), torch.no_grad():
        for first in bar:
            part = slice(first, first + batch)
            parts.append(run(x[part], y[part], starting_points=starts[part]))
    return judged(model, x, y, torch.cat(parts))


@torch.no_grad()
def starting_points(model: TwoLayer, x: Tensor, y: Tensor, pool: Tensor) -> Tensor:
    """For each image x (N, D) of class y the nearest image of ``pool`` (P, D) that the model puts in another class.

    Raises ``ValueError`` if the whole pool has the class of some image.
    """
    classes = model(pool).argmax(1)
    distances = torch.cdist(x, pool).masked_fill(classes == y[:, None], torch.inf)
    nearest, index = distances.min(1)
    if not bool(torch.isfinite(nearest).all()):
        raise ValueError(f"pool: none of its {len(pool)} images is in another class for some image; give more")
    return pool[index]


def apgd(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    loss: str = "dlr",
    low: float = 1e-5,
    high: float = 0.1,
    rounds: int = 10,
    steps: int = 50,
    seed: int = 0,
    progress: bool = False,
) -> Found:
    """Auto-PGD (pyautoattack) in L-infinity, and by bisection the smallest epsilon of each image where it succeeds.

    loss: ``ce`` (cross-entropy) or ``dlr`` (difference of logits ratio, which does not saturate; >= 3 classes). All
    images are attacked at ``high`` first, then each at its own geometric mean of the highest failure (or ``low``) and
    the lowest success, ``rounds`` times: epsilon is then known to a factor (high / low)^(2^-rounds).
    Raises ``ValueError`` for another loss, or images and labels that do not fit the model.
    """
    model = checked(model, x, y, rounds=rounds, steps=steps)
    from pyautoattack.autopgd_base import APGDAttack

    _check_loss(model, loss)
    if not 0 < low < high:
        raise ValueError(f"low = {low}, high = {high}; give 0 < low < high")
    failed, succeeded = torch.full((len(x), 1), low), torch.full((len(x), 1), high)
    best, found, epsilon = x.clone(), torch.zeros(len(x), dtype=torch.bool), succeeded.clone()
    for _ in tqdm(range(rounds + 1), f"APGD {loss}", disable=not progress):
        # The library only multiplies and clamps by epsilon, so that a column of one value per image will do.
        attack = APGDAttack(model, n_iter=steps, eps=epsilon, seed=seed, loss=loss, logger=logging.getLogger(__name__))
        with seeded(seed):
            images = attack.perturb(x, y).detach()
        success = judged(model, x, y, images).found
        best[success], found = images[success], found | success
        succeeded = torch.where(success[:, None], epsilon, succeeded)
        failed = torch.where(success[:, None], failed, epsilon)
        epsilon = torch.where(found[:, None], (failed * succeeded).sqrt(), epsilon)
    return Found(best, found)


def auto_pgd(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    eps: Tensor,
    norm: str = "linf",
    loss: str = "ce",
    steps: int = 50,
    seed: int = 0,
) -> Found:
    """Auto-PGD (pyautoattack) in a ball of the norm ``linf`` or ``l2``, each image with its own radius eps (N,).

    Raises as :func:`apgd` does, and for radii that are not positive or not one per image.
    """
    model = checked(model, x, y, steps=steps)
    from pyautoattack.autopgd_base import APGDAttack

    if norm not in BALLS:
        raise ValueError(f"norm = {norm!r} is not known; choose from {', '.join(BALLS)}")
    _check_loss(model, loss)
    if eps.shape != (len(x),) or not bool((eps > 0).all() & torch.isfinite(eps).all()):
        raise ValueError(f"eps has shape {tuple(eps.shape)}; give a finite radius > 0 per image, ({len(x)},)")
    settings = {"n_iter": steps, "seed": seed, "loss": loss, "logger": logging.getLogger(__name__)}
    attack = APGDAttack(model, norm=BALLS[norm], eps=eps[:, None], **settings)
    with seeded(seed):
        return judged(model, x, y, attack.perturb(x, y))


def _check_loss(model: TwoLayer, loss: str) -> None:
    if loss not in ("ce", "dlr"):
        raise ValueError(f"loss = {loss!r} is not known; choose ce or dlr")
    if loss == "dlr" and len(model.bias) < FEWEST_FOR_DLR:
        raise ValueError(
            f"loss = 'dlr' compares the three largest logits, and the model has {len(model.bias)} classes; give ce"
        )


def square(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    shape: tuple[int, int, int],
    epsilons: list[float],
    queries: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Tensor:
    """Square attack (pyautoattack) in L-infinity, from logits alone: success (E, N) bool at each epsilon.

    shape: height, width, channels of the images; epsilons: rising. An image counts as broken at all larger epsilons
    too, since a perturbation within one is within the other.
    """
    model = checked(model, x, y, queries=queries)
    from pyautoattack.square import SquareAttack

    if sorted(epsilons) != epsilons or not epsilons or not epsilons[0] > 0:
        raise ValueError(f"epsilons = {epsilons}; give rising numbers > 0")
    if len(shape) != 3 or shape[2] not in (1, 3) or math.prod(shape) != x.shape[1]:
        raise ValueError(
            f"shape = {shape}; give height, width and channels, the channels last, 1 or 3, of {x.shape[1]} pixels"
        )
    height, width, channels = shape

    def predict(pictures: Tensor) -> Tensor:
        return model(pictures.permute(0, 2, 3, 1).flatten(1))

    pictures = x.reshape(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()
    broken, rows = torch.zeros(len(x), dtype=torch.bool), []
    for epsilon in tqdm(epsilons, "Square", disable=not progress):
        if not bool(broken.all()):
            left = (~broken).nonzero()[:, 0]
            attack = SquareAttack(predict, eps=epsilon, n_queries=queries, seed=seed)
            with seeded(seed), torch.no_grad():
                images = attack.perturb(pictures[left], y[left]).permute(0, 2, 3, 1).flatten(1)
            broken[left] = judged(model, x[left], y[left], images).found
        rows.append(broken.clone())
    return torch.stack(rows)
